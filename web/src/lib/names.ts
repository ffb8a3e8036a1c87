import type { Message } from './shapes';

const COMPACT = /^[a-z2-7]{38}$/;

/** A name as people compare it: groups of four. Anything else stays as it is. */
export function grouped(name: string): string {
  return COMPACT.test(name) ? (name.match(/.{1,4}/g)?.join('-') ?? name) : name;
}

/** Enough of a name to tell strangers apart in a list; never enough to trust it. */
export function shortName(name: string): string {
  return COMPACT.test(name) ? `${name.slice(0, 4)}-${name.slice(4, 8)}…` : name;
}

/** What to call an author: the petname somebody chose, or the beginning of the name. */
export function called(name: string, petname: string | null | undefined): string {
  return petname || shortName(name);
}

/** Who wrote a message, as far as that is known. */
export function speaker({ from, from_petname, anonymous }: Pick<Message, 'from' | 'from_petname' | 'anonymous'>): string {
  return anonymous ? `some member (1 of ${anonymous.ring})` : called(from, from_petname);
}

/** One or two letters for an avatar. */
export function initials(title: string): string {
  const words = title.trim().split(/\s+/);
  const letters = words.slice(0, 2).map((word) => [...word][0] ?? '');
  return letters.join('').toUpperCase() || '?';
}

/** A hue (0 to 359) that stays with a name. */
export function hue(name: string): number {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 3600;
  return sum % 360;
}
