import { describe, expect, it } from 'vitest';
import { called, grouped, hue, initials, shortName, speaker } from './names';

const NAME = 'abcdefghijklmnopqrstuvwxyz234567abcdef';

describe('names', () => {
  it('are grouped in fours without losing a letter', () => {
    expect(grouped(NAME)).toBe('abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567-abcd-ef');
    expect(grouped(NAME).replaceAll('-', '')).toBe(NAME);
  });

  it('leave alone what is no name', () => {
    expect(grouped('lobby')).toBe('lobby');
    expect(shortName('lobby')).toBe('lobby');
  });

  it('are only shortened where no petname exists', () => {
    expect(called(NAME, null)).toBe('abcd-efgh…');
    expect(called(NAME, 'Bob')).toBe('Bob');
  });

  it('are not there where nobody knows who wrote it', () => {
    const anonymous = { ring: 7, label: '' };
    expect(speaker({ from: '', from_petname: null, anonymous })).toBe('some member (1 of 7)');
    expect(speaker({ from: NAME, from_petname: 'Bob', anonymous: null })).toBe('Bob');
  });

  it('give initials of any script, never half a character', () => {
    expect(initials('aunt hilja maria')).toBe('AH');
    expect(initials('🦊 fox')).toBe('🦊F');
    expect(initials('  ')).toBe('?');
  });

  it('keep their colour', () => {
    expect(hue(NAME)).toBe(hue(NAME));
    expect(hue(NAME)).toBeGreaterThanOrEqual(0);
    expect(hue(NAME)).toBeLessThan(360);
  });
});
