import { describe, expect, it } from 'vitest';
import { message } from '../testing/fixtures';
import type { MessageState } from './shapes';
import { canCancel, canRewrite, mark, type Surroundings } from './states';

const around: Surroundings = { peers: 3, known: true, reader: 'Bob', stamping: undefined };
const mine = (state: MessageState) => message({ mine: true, state });

describe('the mark of a message', () => {
  it('differs from state to state, for eyes and ears', () => {
    const states: MessageState[] = ['waiting', 'stamping', 'stamped', 'published', 'received', 'read', 'cancelled', 'failed'];
    const marks = states.map((state) => mark(mine(state), around));
    expect(new Set(marks.map(({ word }) => word)).size).toBe(states.length);
    expect(new Set(marks.map(({ means }) => means)).size).toBe(states.length);
  });

  it('says what a waiting message waits for', () => {
    expect(mark(mine('waiting'), { ...around, peers: 0 }).means).toMatch(/connection/);
    expect(mark(mine('waiting'), { ...around, known: false }).means).toMatch(/Bob's keys/);
  });

  it('says how long the stamp takes', () => {
    const stamping = { id: 'm1', tries: 1, expected_tries: 4, rate: 1, eta_s: 3 };
    expect(mark(mine('stamping'), { ...around, stamping }).word).toBe('Stamping, about 3 s left');
    expect(mark(mine('stamping'), around).word).toBe('Stamping');
  });

  it('says what went over the connection between both nodes, which cannot be taken back', () => {
    for (const state of ['stamping', 'received'] as MessageState[]) {
      const direct = message({ mine: true, state, path: 'direct' });
      expect(mark(direct, around).means).toMatch(/Bob's node took it over the connection between you/);
      expect(canCancel(direct)).toBe(false);
    }
  });

  it('says of what was written without a name that it is not sent again', () => {
    const unsigned = message({ mine: true, state: 'failed', anonymous: { ring: 3, label: '' } });
    expect(mark(unsigned, around).means).toMatch(/not sent again/);
    expect(canRewrite(unsigned)).toBe(true);
  });

  it('does not write again to the whole cluster what was for one member', () => {
    for (const state of ['cancelled', 'failed'] as MessageState[]) {
      expect(canRewrite(message({ mine: true, state, to_member: 'bob' }))).toBe(false);
      expect(canRewrite(message({ mine: true, state, to_member: 'bob', anonymous: { ring: 3, label: '' } }))).toBe(false);
    }
  });

  it('allows to cancel only what is not stamped, and to write again only what nobody got', () => {
    expect(['waiting', 'stamping', 'stamped'].map((state) => canCancel(mine(state as MessageState)))).toEqual([true, true, false]);
    expect(['cancelled', 'failed', 'read'].map((state) => canRewrite(mine(state as MessageState)))).toEqual([true, true, false]);
    expect(canCancel(message({ state: 'waiting' }))).toBe(false);
  });
});
