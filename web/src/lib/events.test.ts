import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventStream, type Listener } from './events';

class FakeSocket {
  static all: FakeSocket[] = [];
  sent: string[] = [];
  onopen = () => {};
  onclose = (_event: { code: number }) => {};
  onmessage = (_frame: { data: unknown }) => {};
  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.onclose({ code: 1000 });
  }
}

const newest = () => FakeSocket.all.at(-1) as FakeSocket;
let listener: { [K in keyof Listener]: ReturnType<typeof vi.fn<Listener[K]>> };
let stream: EventStream;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  FakeSocket.all = [];
  listener = { ready: vi.fn(), refused: vi.fn(), event: vi.fn(), link: vi.fn() };
  stream = new EventStream('ws://node/events', 'secret', listener);
});

afterEach(() => {
  stream.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the event stream', () => {
  it('sends the token as its first frame, never in the address', () => {
    newest().onopen();
    expect(newest().sent).toEqual(['{"token":"secret"}']);
    expect(newest().url).not.toContain('secret');
    expect(listener.ready).not.toHaveBeenCalled();
    newest().onmessage({ data: '{"event":"ready"}' });
    expect(listener.ready).toHaveBeenCalledOnce();
  });

  it('waits longer with each failure, up to half a minute', () => {
    const waits: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      const start = Date.now();
      newest().onclose({ code: 1006 });
      vi.advanceTimersToNextTimer();
      waits.push(Date.now() - start);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  });

  it('begins anew with short waits only after the node has taken the token', () => {
    newest().onclose({ code: 1006 });
    vi.advanceTimersToNextTimer();
    newest().onopen();
    newest().onclose({ code: 1006 });
    const [second] = listener.link.mock.lastCall ?? [];
    expect(second).toEqual({ state: 'down', retryAt: Date.now() + 1000 });
    vi.advanceTimersToNextTimer();
    newest().onopen();
    newest().onmessage({ data: '{"event":"ready"}' });
    newest().onclose({ code: 1006 });
    expect(listener.link.mock.lastCall?.[0]).toEqual({ state: 'down', retryAt: Date.now() + 500 });
  });

  it('tries at once when asked', () => {
    newest().onclose({ code: 1006 });
    stream.retryNow();
    expect(FakeSocket.all).toHaveLength(2);
    stream.retryNow();
    expect(FakeSocket.all).toHaveLength(2);
  });

  it('tells when the node refused the token', () => {
    newest().onopen();
    newest().onclose({ code: 1008 });
    expect(listener.refused).toHaveBeenCalledOnce();
    expect(listener.ready).not.toHaveBeenCalled();
  });

  it('ignores frames that are no events', () => {
    for (const data of ['', 'null', '[1]', '{"event":7}', '{', new ArrayBuffer(4)]) newest().onmessage({ data });
    expect(listener.event).not.toHaveBeenCalled();
  });

  it('stays closed once closed', () => {
    stream.close();
    vi.runAllTimers();
    expect(FakeSocket.all).toHaveLength(1);
  });
});
