import { beforeEach, expect, it } from 'vitest';
import { forgetToken, takeToken } from './token';

beforeEach(() => sessionStorage.clear());

it('the token leaves the address bar and stays for the tab', () => {
  history.replaceState(null, '', '/#token=secret');
  expect(takeToken(location, history, sessionStorage)).toBe('secret');
  expect(location.href).not.toContain('secret');
  expect(takeToken(location, history, sessionStorage)).toBe('secret');
});

it('a newer link replaces the token', () => {
  sessionStorage.setItem('samizdat-token', 'old');
  history.replaceState(null, '', '/#token=new');
  expect(takeToken(location, history, sessionStorage)).toBe('new');
});

it('no token, or a forgotten one, is none', () => {
  expect(takeToken(location, history, sessionStorage)).toBeNull();
  sessionStorage.setItem('samizdat-token', 'old');
  forgetToken(sessionStorage);
  expect(takeToken(location, history, sessionStorage)).toBeNull();
});
