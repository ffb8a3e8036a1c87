import { describe, expect, it } from 'vitest';
import { contact, conversation, message, request, room } from '../testing/fixtures';
import { chats, closedBecause } from './chats';

describe('the list of chats', () => {
  it('has what came last first, also when something older claims to be from the future', () => {
    const recent = conversation({ id: 'recent', who: 'recent', last: message({ at: 1 }) });
    const forged = conversation({ id: 'forged', who: 'forged', last: message({ at: 9e15 }) });
    expect(chats([recent, forged], [contact({ name: 'silent' })], [], []).map(({ who }) => who)).toEqual([
      'recent',
      'forged',
      'silent',
    ]);
  });

  it('also has contacts and rooms in which nothing was said', () => {
    const list = chats([], [contact({ name: 'someone', petname: 'Some One' })], [room({ room: 'tea' })], []);
    expect(list.map(({ key, title, conversation }) => [key, title, conversation])).toEqual([
      ['direct:someone', 'Some One', null],
      ['room:tea', 'tea', null],
    ]);
  });

  it('keeps the key when the node makes the conversation', () => {
    const before = chats([], [contact()], [], [])[0];
    const after = chats([conversation()], [contact()], [], [])[0];
    expect(after?.key).toBe(before?.key);
    expect(after?.contact).toEqual(contact());
  });

  it('leaves out who waits for an answer, and silent people who are blocked', () => {
    expect(chats([conversation()], [], [], [request()])).toEqual([]);
    expect(chats([], [contact({ state: 'blocked' })], [], [])).toEqual([]);
  });

  it('says why one cannot write', () => {
    const [blocked] = chats([conversation()], [contact({ state: 'blocked' })], [], []);
    expect(blocked && closedBecause(blocked)).toMatch(/blocked Bob/);
    const [left] = chats([conversation({ kind: 'room', who: 'lobby' })], [], [room({ joined: false })], []);
    expect(left && closedBecause(left)).toMatch(/Join/);
    const [open] = chats([conversation()], [contact()], [], []);
    expect(open && closedBecause(open)).toBeNull();
  });
});
