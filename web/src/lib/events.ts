import type { NodeEvent } from './shapes';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const POLICY_VIOLATION = 1008;

export type Link = { state: 'up' } | { state: 'down'; retryAt: number | null };

export interface Listener {
  /** The stream has begun (again): whatever happened before must be read anew. */
  ready(): void;
  /** The node took the connection but not the token. */
  refused(): void;
  event(event: NodeEvent): void;
  link(link: Link): void;
}

/** The node's event stream; comes back by itself after a loss, waiting twice as long each time. */
export class EventStream {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wait = FIRST_WAIT_MS;
  private ended = false;

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly listener: Listener,
  ) {
    this.open();
  }

  /** Tries at once instead of at the end of the wait. */
  retryNow(): void {
    if (this.socket || this.ended) return;
    clearTimeout(this.timer);
    this.wait = FIRST_WAIT_MS;
    this.open();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private open(): void {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ token: this.token }));
    };
    socket.onmessage = (frame: MessageEvent<unknown>) => {
      const event = decode(frame.data);
      if (event?.event === 'ready') {
        this.wait = FIRST_WAIT_MS;
        this.listener.link({ state: 'up' });
        this.listener.ready();
      } else if (event) this.listener.event(event);
    };
    socket.onclose = ({ code }: CloseEvent) => {
      this.socket = null;
      if (this.ended) return;
      if (code === POLICY_VIOLATION) this.listener.refused();
      this.schedule();
    };
  }

  private schedule(): void {
    this.listener.link({ state: 'down', retryAt: Date.now() + this.wait });
    this.timer = setTimeout(() => {
      this.listener.link({ state: 'down', retryAt: null });
      this.open();
    }, this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }
}

function decode(data: unknown): NodeEvent | null {
  if (typeof data !== 'string') return null;
  try {
    const value = JSON.parse(data) as NodeEvent | null;
    return value && typeof value.event === 'string' ? value : null;
  } catch {
    return null;
  }
}
