import { describe, expect, it, vi } from 'vitest';
import { Api } from './api';

function answering(status: number, body: unknown) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const fetch = vi.fn(async (_url: unknown, _init?: RequestInit) => new Response(text, { status }));
  return { fetch, api: new Api('secret', fetch as unknown as typeof globalThis.fetch) };
}

describe('the API client', () => {
  it('carries the token in the header and never in the address', async () => {
    const { fetch, api } = answering(200, { messages: [] });
    await api.messages({ room: 'tea & cake' }, 200);
    const [url, init] = fetch.mock.calls[0] ?? [];
    expect(url).toBe('/api/v1/messages?room=tea+%26+cake&limit=200');
    expect(init?.headers).toEqual({ authorization: 'Bearer secret' });
  });

  it('escapes what goes into a path', async () => {
    const { fetch, api } = answering(200, {});
    await api.answer('../shutdown', 'accept');
    expect(fetch.mock.calls[0]?.[0]).toBe('/api/v1/requests/..%2Fshutdown/accept');
  });

  it('leaves an empty petname out', async () => {
    const { fetch, api } = answering(200, {});
    await api.addContact('name');
    expect(fetch.mock.calls[0]?.[1]?.body).toBe('{"who":"name"}');
  });

  it('asks for a passphrase, and a secret vote, only where that is wanted', async () => {
    const { fetch, api } = answering(200, {});
    await api.inviteToCluster('1');
    await api.inviteToCluster('1', 8, true);
    const bodies = fetch.mock.calls.map(([, init]) => init?.body);
    expect(bodies).toEqual(['{}', '{"passphrase_words":8,"secret":true}']);
  });

  it("repeats the node's sentence as one", async () => {
    const message = 'there is a typing error in group 3 ("abcx"): compare it with the original';
    const { api } = answering(400, { error: { kind: 'usage', message } });
    await expect(api.addContact('x')).rejects.toMatchObject({
      kind: 'usage',
      message: 'There is a typing error in group 3 ("abcx"): compare it with the original.',
    });
  });

  it('tells apart a refused token, an answer that is no error of the node, and no answer', async () => {
    await expect(answering(401, '').api.status()).rejects.toMatchObject({ kind: 'unauthorised' });
    await expect(answering(503, '<html>').api.status()).rejects.toMatchObject({ kind: 'internal' });
    const api = new Api('secret', () => Promise.reject(new TypeError('failed')));
    await expect(api.status()).rejects.toMatchObject({ kind: 'unreachable' });
  });
});
