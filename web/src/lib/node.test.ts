import { describe, expect, it, vi } from 'vitest';
import { contact, conversation, fakeApi, message, request, room, status } from '../testing/fixtures';
import { ApiError, type Target } from './api';
import type { Chat } from './chats';
import { Mirror } from './node.svelte';
import type { Message } from './shapes';

async function opened(messages: Message[], heard = vi.fn()) {
  const read = vi.fn(async (_of: Target, _limit: number, _before?: string) => messages);
  const node = new Mirror(fakeApi({ conversations: async () => [conversation({ unread: 1 })], messages: read }), heard);
  await node.reload(undefined);
  const chat = node.chats[0] as Chat;
  await node.load(chat);
  const ids = () => node.timeline('c1')?.messages.map(({ id }) => id);
  return { node, chat, read, heard, ids };
}

describe('the mirror of the node', () => {
  it('counts what waits for the reader: unread messages and requests', async () => {
    const node = new Mirror(
      fakeApi({
        conversations: async () => [conversation({ who: 'other', unread: 2 })],
        requests: async () => [request()],
        contacts: async () => [contact({ name: 'other' })],
        rooms: async () => [room()],
      }),
    );
    await node.reload(undefined);
    expect(node.unread).toBe(3);
    expect(node.ready).toBe(true);
    expect(node.peers).toBe(1);
  });

  it('puts a changed message over its older self and says a new one aloud once', async () => {
    const { node, heard, ids } = await opened([message({ id: 'a', mine: true, state: 'stamping' })]);
    node.handle({ event: 'message', message: message({ id: 'a', mine: true, state: 'published' }) }, undefined);
    node.handle({ event: 'message', message: message({ id: 'b' }) }, undefined);
    node.handle({ event: 'message', message: message({ id: 'b', state: 'read' }) }, undefined);
    expect(ids()).toEqual(['a', 'b']);
    expect(node.timeline('c1')?.messages[0]?.state).toBe('published');
    expect(heard).toHaveBeenCalledOnce();
  });

  it('keeps what arrives while a timeline is being read', async () => {
    const { node, chat, read, ids } = await opened([]);
    const before = [message({ id: 'a', mine: true, state: 'stamping' })];
    read.mockImplementationOnce(async () => {
      node.place(message({ id: 'a', mine: true, state: 'published' }));
      node.place(message({ id: 'b' }));
      return before;
    });
    await node.load(chat);
    expect(ids()).toEqual(['a', 'b']);
    expect(node.timeline('c1')?.messages[0]?.state).toBe('published');
  });

  it('forgets the progress of a stamp that is done', async () => {
    const { node } = await opened([message({ id: 'a', mine: true, state: 'stamping' })]);
    node.handle({ event: 'stamp', id: 'a', tries: 1, expected_tries: 2, rate: 1, eta_s: 1 }, undefined);
    expect(node.stamping.get('a')?.eta_s).toBe(1);
    node.place(message({ id: 'a', mine: true, state: 'stamped' }));
    expect(node.stamping.has('a')).toBe(false);
  });

  it('asks for more when older messages are wanted', async () => {
    const { node, chat, read } = await opened([]);
    await node.loadOlder(chat);
    expect(read).toHaveBeenLastCalledWith({ who: chat.who }, 200);
  });

  it('reaches the first message of a long conversation page by page', async () => {
    const all = Array.from({ length: 1500 }, (_, i) => message({ id: `m${i}` }));
    const { node, chat, read, ids } = await opened([]);
    read.mockImplementation(async (_of: Target, limit: number, before?: string) => {
      const end = before ? all.findIndex(({ id }) => id === before) : all.length;
      return all.slice(Math.max(end - limit, 0), end);
    });
    await node.load(chat);
    for (let i = 0; i < 5; i += 1) await node.loadOlder(chat);
    expect(ids()).toHaveLength(1200);
    await Promise.all([node.loadOlder(chat), node.loadOlder(chat)]);
    expect(node.timeline('c1')?.complete).toBe(false);
    await node.loadOlder(chat);
    expect(ids()).toEqual(all.map(({ id }) => id));
    expect(node.timeline('c1')?.complete).toBe(true);
  });

  it('reads anew when the message to go back from is gone', async () => {
    const { node, chat, read, ids } = await opened([message({ id: 'gone' })]);
    read.mockRejectedValueOnce(new ApiError('not_found', '')).mockResolvedValueOnce([message({ id: 'there' })]);
    await node.loadOlder(chat);
    expect(ids()).toEqual(['there']);
  });

  it('marks as read no more than what is there', async () => {
    const markRead = vi.fn(async () => ({}));
    const lists = async () => [conversation({ unread: 1, last: message({ id: 'seen' }) })];
    const node = new Mirror(fakeApi({ conversations: lists, markRead }));
    await node.reload(undefined);
    await node.markRead(node.chats[0] as Chat);
    expect(markRead).toHaveBeenCalledWith('c1', 'seen');
  });

  it('reads everything anew when it lagged, the open timeline too', async () => {
    const { node, chat, read } = await opened([message({ id: 'a' })]);
    read.mockResolvedValueOnce([message({ id: 'a' }), message({ id: 'missed' })]);
    node.handle({ event: 'lagged' }, chat);
    await vi.waitFor(() => expect(node.timeline('c1')?.messages).toHaveLength(2));
  });

  it('tells a refused token from a node that is away', async () => {
    const failing = (kind: 'unauthorised' | 'unreachable') =>
      new Mirror(fakeApi({ status: () => Promise.reject(new ApiError(kind, '')) }));
    const stale = failing('unauthorised');
    await stale.reload(undefined);
    expect([stale.refused, stale.ready]).toEqual([true, false]);
    const away = failing('unreachable');
    await away.reload(undefined);
    expect([away.refused, away.ready]).toEqual([false, false]);
  });

  it('says why the first read failed and tries again until it succeeds', async () => {
    vi.useFakeTimers();
    const busy = () => Promise.reject(new ApiError('internal', 'The node is too busy to answer.'));
    const read = vi.fn(async () => status()).mockImplementationOnce(busy).mockImplementationOnce(busy);
    const node = new Mirror(fakeApi({ status: read }));
    await node.reload(undefined);
    expect([node.ready, node.trouble]).toEqual([false, 'The node is too busy to answer.']);
    await vi.advanceTimersByTimeAsync(500);
    expect([node.ready, read.mock.calls.length]).toEqual([false, 2]);
    await vi.advanceTimersByTimeAsync(1000);
    expect([node.ready, node.trouble, read.mock.calls.length]).toEqual([true, null, 3]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toHaveBeenCalledTimes(3);
    vi.useRealTimers();
  });

  it('tries nothing any more when the page goes', async () => {
    vi.useFakeTimers();
    const read = vi.fn(() => Promise.reject(new ApiError('internal', '')));
    const node = new Mirror(fakeApi({ status: read }));
    await node.reload(undefined);
    node.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(read).toHaveBeenCalledOnce();
    vi.useRealTimers();
  });

  it('ignores events it does not know', async () => {
    const { node } = await opened([]);
    node.handle({ event: 'from the future' } as never, undefined);
    node.handle({ event: 'status', status: status({ peers: [] }) }, undefined);
    expect(node.peers).toBe(0);
  });
});
