const DAY_MS = 86_400_000;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const weekdayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const dateFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const longFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });
const numberFormat = new Intl.NumberFormat();

/** What stands for a time that no calendar has: authors write what they like, and formatters throw on it. */
const NO_TIME = 'no valid time';

const valid = (at: number): boolean => !Number.isNaN(new Date(at).getTime());

export const clock = (at: number): string => (valid(at) ? clockFormat.format(at) : NO_TIME);
export const fullTime = (at: number): string => (valid(at) ? fullFormat.format(at) : NO_TIME);
/** For `datetime` of `time`, which is left out where there is none. */
export const isoTime = (at: number): string | undefined => (valid(at) ? new Date(at).toISOString() : undefined);
export const count = (n: number): string => numberFormat.format(n);

/** How long ago in the fewest letters, for lists: a time today, a weekday this week, then a date. */
export function shortTime(at: number, now: number): string {
  if (!valid(at)) return NO_TIME;
  const days = daysBetween(at, now);
  if (days <= 0) return clock(at);
  return days < 7 ? weekdayFormat.format(at) : dateFormat.format(at);
}

/** The heading over a day's messages. */
export function dayTitle(at: number, now: number): string {
  if (!valid(at)) return NO_TIME;
  const days = daysBetween(at, now);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return longFormat.format(at);
}

/** A key that is equal for two times on the same local day. */
export function dayKey(at: number): string {
  return new Date(at).toDateString();
}

/** "about 3 s", "about 2 min". */
export function about(seconds: number): string {
  if (seconds < 1) return 'a moment';
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${Math.round(seconds / 3600)} h`;
}

export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = n;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ''}`;
}

function daysBetween(at: number, now: number): number {
  const midnight = (time: number) => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(now) - midnight(at)) / DAY_MS);
}
