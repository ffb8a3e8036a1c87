import { describe, expect, it } from 'vitest';
import { about, bytes, clock, dayKey, dayTitle, fullTime, isoTime, shortTime } from './format';

const noon = (day: number) => new Date(2026, 10, day, 12).getTime();

describe('times', () => {
  it('are days of the calendar, not of 24 hours', () => {
    const late = new Date(2026, 10, 20, 23, 59).getTime();
    const early = new Date(2026, 10, 21, 0, 1).getTime();
    expect(dayTitle(late, early)).toBe('Yesterday');
    expect(dayTitle(early, early)).toBe('Today');
  });

  it('get shorter the nearer they are', () => {
    expect(shortTime(noon(21), noon(21))).toBe(clock(noon(21)));
    expect(shortTime(noon(19), noon(21))).toBe('Thu');
    expect(shortTime(noon(1), noon(21))).toMatch(/Nov/);
  });

  it('that no calendar has are said to be none, and do not throw', () => {
    for (const at of [8.64e15 + 1, 18_446_744_073_709_551_615, -1e300, NaN, Infinity]) {
      for (const show of [clock, fullTime, (t: number) => shortTime(t, noon(21)), (t: number) => dayTitle(t, noon(21))]) {
        expect(show(at)).toBe('no valid time');
      }
      expect(isoTime(at)).toBeUndefined();
      expect(dayKey(at)).toBe('Invalid Date');
    }
  });

  it('of a clock that runs ahead are shown as they are', () => {
    expect(shortTime(noon(22), noon(21))).toBe(clock(noon(22)));
  });
});

describe('amounts', () => {
  it('are rounded to what a person can use', () => {
    expect(about(0.4)).toBe('a moment');
    expect(about(3.2)).toBe('about 3 s');
    expect(about(600)).toBe('about 10 min');
    expect(about(7200)).toBe('about 2 h');
    expect(bytes(999)).toBe('999 B');
    expect(bytes(3_140_000)).toBe('3.1 MB');
    expect(bytes(1_000_000_000)).toBe('1.0 GB');
  });
});
