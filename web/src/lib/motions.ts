import { count } from './format';
import type { Charter, Motion } from './shapes';

/** What a motion wants, as a line. */
export function says({ kind, subject }: Motion): string {
  switch (kind) {
    case 'admit':
      return `Let ${subject} in`;
    case 'expel':
      return `Put ${subject} out`;
    case 'silent':
      return `Drop ${subject}, of whom nothing is heard`;
    case 'charter':
      return 'Take other rules';
    case 'question':
      return subject;
  }
}

/** How it stands, as a sentence. */
export function outcome({ kind, state, done, yes, no, needed, voters }: Motion): string {
  const votes = `${count(yes)} yes, ${count(no)} no, ${count(needed)} of ${count(voters)} needed.`;
  if (kind === 'question') return state === 'open' ? 'Open; the answer binds nobody.' : 'Over.';
  switch (state) {
    case 'open':
      return `Open: ${votes}`;
    case 'passed':
      return done ? 'Passed, and carried out.' : 'Passed; it is being carried out.';
    case 'failed':
      return `Failed: ${votes}`;
    case 'expired':
      return 'Its time ran out; everything stays as it was.';
  }
}

/** The rules of a cluster, as a sentence. */
export function rules({ name, cap, quorum, rollout_hours, history, motion_epochs, sponsor_epochs, delivery }: Charter): string {
  const past =
    history === 'none'
      ? 'newcomers get nothing of what was written before'
      : `newcomers may get ${history === 'all' ? 'all' : `the last ${count(history.last)} messages`} of what was written before`;
  const parts = [
    `at most ${count(cap)} members`,
    `${quorum === 'majority' ? 'more than half' : 'more than two thirds'} of those who may vote must say yes`,
    `a motion stays open for ${count(motion_epochs)} changes of the keys`,
    `keys change every ${count(rollout_hours)} hours`,
    past,
  ];
  if (!delivery) parts.push('members do not tell what has come to them');
  if (sponsor_epochs > 0) parts.push(`who proposes a newcomer has seen ${count(sponsor_epochs)} changes of the keys`);
  return `“${name}”: ${parts.join('; ')}.`;
}

/** `admit bob` of the node, for people. */
export function decided(what: string): string {
  const [verb = '', ...rest] = what.split(' ');
  const subject = rest.join(' ');
  const words: Record<string, string> = {
    admit: `${subject} was let in`,
    expel: `${subject} was put out`,
    silent: `${subject} was dropped: nothing was heard`,
    charter: 'Other rules were taken',
    leave: `${subject} left`,
  };
  return words[verb] ?? what;
}
