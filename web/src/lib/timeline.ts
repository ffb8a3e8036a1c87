import { dayKey, dayTitle } from './format';
import type { Message } from './shapes';

/** Messages of one author within this time stand together. */
const TOGETHER_MS = 5 * 60_000;

export type Row =
  | { row: 'day'; key: string; title: string }
  | { row: 'new'; key: string }
  | { row: 'message'; key: string; message: Message; first: boolean; last: boolean };

/** The messages with what stands between them: days, the line before what is new, and where one author begins and ends. */
export function rows(messages: Message[], firstNew: string | null, now: number): Row[] {
  const out: Row[] = [];
  messages.forEach((message, index) => {
    const before = messages[index - 1];
    const after = messages[index + 1];
    if (!before || dayKey(before.at) !== dayKey(message.at)) {
      out.push({ row: 'day', key: `day ${message.id}`, title: dayTitle(message.at, now) });
    }
    if (message.id === firstNew) out.push({ row: 'new', key: 'line of what is new' });
    const first = !together(before, message) || message.id === firstNew;
    const last = !together(message, after) || after?.id === firstNew;
    out.push({ row: 'message', key: message.id, message, first, last });
  });
  return out;
}

/** The first of the last `unread` messages of others, or null. */
export function firstUnread(messages: Message[], unread: number): string | null {
  if (unread <= 0) return null;
  return messages.filter((message) => !message.mine).at(-unread)?.id ?? null;
}

function together(a: Message | undefined, b: Message | undefined): boolean {
  // Two of whom nobody knows who they are may be two.
  return !!a && !!b && !a.anonymous && !b.anonymous && a.from === b.from && Math.abs(b.at - a.at) < TOGETHER_MS && dayKey(a.at) === dayKey(b.at);
}
