import { describe, expect, it } from 'vitest';
import { ALICE, BOB, message } from '../testing/fixtures';
import { firstUnread, rows } from './timeline';

const MINUTE = 60_000;
const noon = new Date(2026, 10, 21, 12).getTime();
const at = (id: string, minutes: number, from = BOB) => message({ id, from, at: noon + minutes * MINUTE, mine: from === ALICE });

describe('a timeline', () => {
  it('has one heading for each day', () => {
    const list = rows([at('a', -24 * 60), at('b', 0), at('c', 1)], null, noon);
    expect(list.map(({ row }) => row)).toEqual(['day', 'message', 'day', 'message', 'message']);
  });

  it('joins what one author said within minutes', () => {
    const list = rows([at('a', 0), at('b', 1), at('c', 30), at('d', 31, ALICE)], null, noon);
    const ends = list.flatMap((row) => (row.row === 'message' ? [[row.first, row.last]] : []));
    expect(ends).toEqual([
      [true, false],
      [false, true],
      [true, true],
      [true, true],
    ]);
  });

  it('draws the line before the first new message, also within a run', () => {
    const list = rows([at('a', 0), at('b', 1)], 'b', noon);
    expect(list.map(({ row }) => row)).toEqual(['day', 'message', 'new', 'message']);
  });

  it('finds the first unread one among those of others', () => {
    const messages = [at('a', 0), at('b', 1), at('mine', 2, ALICE), at('c', 3)];
    expect(firstUnread(messages, 2)).toBe('b');
    expect(firstUnread(messages, 0)).toBeNull();
    expect(firstUnread(messages, 99)).toBeNull();
  });

  it('has unique keys', () => {
    const keys = rows([at('a', 0), at('b', 1), at('new', 2)], 'b', noon).map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
