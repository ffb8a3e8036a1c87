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
    case 'merge':
      return `Go into the cluster “${subject}”: who says yes asks to be let in there`;
    case 'take_in':
      return `Let in all who come with a cluster: ${subject}`;
    case 'question':
      return subject;
  }
}

/** How it stands, as a sentence. */
export function outcome(motion: Motion): string {
  const { kind, state, done } = motion;
  if (motion.secret) {
    const sentence = kind === 'question' ? `${answered(motion)} The answer binds nobody.` : passing(motion);
    return `Secret vote (experimental). ${sentence}`;
  }
  if (kind === 'question') return state === 'open' ? 'Open; the answer binds nobody.' : 'Over.';
  switch (state) {
    case 'open':
      return `Open: ${counts(motion)}`;
    case 'passed':
      if (kind === 'merge') return 'Passed; who said yes asks to be let in there.';
      return done ? 'Passed, and carried out.' : 'Passed; it is being carried out.';
    case 'failed':
      return `Failed: ${counts(motion)}`;
    case 'expired':
      return 'Its time ran out; everything stays as it was.';
  }
}

const counts = ({ yes, no, needed, voters }: Motion): string =>
  `${count(yes)} yes, ${count(no)} no, ${count(needed)} of ${count(voters)} needed.`;

const turnout = ({ voted, voters }: Motion): string => `${count(voted.length)} of ${count(voters)} have voted`;

/** How a question in secret stands, as a sentence. */
function answered(motion: Motion): string {
  const { phase, state, why } = motion;
  const votes = `${turnout(motion)}.`;
  if (phase && phase !== 'done') return progress(motion, votes);
  if (state === 'failed') return `Failed: ${why ?? turnout(motion)}.`;
  return state === 'expired' ? `Over; too few answered: ${votes}` : `Over: ${votes}`;
}

/** How a decision in secret stands, as a sentence. */
function passing(motion: Motion): string {
  const { state, done, why, needed, confirmed } = motion;
  switch (state) {
    case 'open':
      return progress(motion, `${turnout(motion)}, ${count(needed)} must say yes.`);
    case 'passed':
      if (done) return `Passed, and carried out: ${counts(motion)}`;
      return confirmed.length < needed
        ? `Passed: ${counts(motion)} It is carried out once ${count(needed)} members confirm that, ${count(confirmed.length)} so far.`
        : `Passed, and being carried out: ${counts(motion)}`;
    case 'failed':
      return why ? `Failed: ${why}.` : `Failed: ${counts(motion)}`;
    case 'expired':
      return 'Its time ran out; everything stays as it was.';
  }
}

/** How far a secret vote is that has not been opened, as a sentence. */
function progress({ phase }: Motion, votes: string): string {
  if (phase === 'making_key') return 'Some members make the key; votes wait until it is there.';
  return phase === 'voting' ? `Open: ${votes}` : `The sum is being opened: ${votes}`;
}

/** Whether its card stands among those that are open: confirming what passed in secret takes a while. */
export const isUnderWay = ({ state, secret, kind, done }: Motion): boolean =>
  state === 'open' || (state === 'passed' && secret && kind !== 'question' && !done);

/** Whether a secret vote takes no votes any more. */
export const isCast = ({ phase }: Motion): boolean => phase === 'opening' || phase === 'done';

/** Whether there are numbers to show: of a secret vote, when it has been opened. */
export function isCounted({ secret, phase, kind, state, why, yes, no }: Motion): boolean {
  if (!secret) return true;
  return phase === 'done' && (kind === 'question' ? state !== 'failed' : why === null && yes + no > 0);
}

/** A vote of mine in secret that can be changed, since there is no key yet. */
export const waits = ({ secret, ours }: Motion): boolean => secret && ours !== null && ours !== 'secret';

/** What I said, as a whole sentence; nothing if I have not. */
export function mine(motion: Motion): string {
  const { secret, ours, options } = motion;
  if (!ours) return '';
  if (!secret) return `You said ${said(motion)}.`;
  if (!waits(motion)) return 'You have voted. Not even this device knows how.';
  return `Your vote for ${options[Number(ours) - 1]?.option ?? ours} waits for the key; until then you can change it.`;
}

/** What I said, as a sentence can show it. */
function said({ ours, ranked, options }: Motion): string {
  if (!ours || !ranked) return ours ?? '';
  const names = ours.split(',').map((number) => options[Number(number) - 1]?.option ?? number);
  return names.join(', then ');
}

/** Each rule of a charter, as a part of a sentence. */
const RULES: { [Rule in keyof Charter]: (charter: Charter) => string } = {
  name: ({ name }) => `it is called “${name}”`,
  cap: ({ cap }) => `at most ${count(cap)} members`,
  quorum: ({ quorum }) =>
    `${quorum === 'majority' ? 'more than half' : 'more than two thirds'} of those who may vote must say yes`,
  motion_epochs: ({ motion_epochs }) => `a motion stays open for ${count(motion_epochs)} changes of the keys`,
  rollout_hours: ({ rollout_hours }) => `keys change every ${count(rollout_hours)} hours`,
  history: ({ history }) =>
    history === 'none'
      ? 'newcomers get nothing of what was written before'
      : `newcomers may get ${history === 'all' ? 'all' : `the last ${count(history.last)} messages`} of what was written before, the newest 240 kB at most`,
  sponsor_epochs: ({ sponsor_epochs }) =>
    sponsor_epochs > 0
      ? `who proposes a newcomer has seen ${count(sponsor_epochs)} changes of the keys`
      : 'every member may propose a newcomer',
  silent_epochs: ({ silent_epochs }) =>
    silent_epochs > 0 ? `who is not heard for ${count(silent_epochs)} changes of the keys is silent` : 'nobody is ever silent',
  automatic_ballots: ({ automatic_ballots }) =>
    automatic_ballots ? 'members vote by themselves to drop the silent' : 'nobody votes by itself',
  delivery: ({ delivery }) =>
    delivery ? 'members tell each other what has arrived' : 'members do not tell each other what has arrived',
};
const NAMES = Object.keys(RULES) as (keyof Charter)[];

/** The rules of a cluster, as a sentence. */
export function rules(charter: Charter): string {
  const parts = NAMES.filter((rule) => rule !== 'name').map((rule) => RULES[rule](charter));
  return `“${charter.name}”: ${parts.join('; ')}.`;
}

const differ = (before: Charter, after: Charter): (keyof Charter)[] =>
  NAMES.filter((rule) => JSON.stringify(before[rule]) !== JSON.stringify(after[rule]));

/** What one charter has that the other has not, as sentences. */
export const changes = (before: Charter, after: Charter): string[] => differ(before, after).map((rule) => RULES[rule](after));

/** Only what is different: what others change meanwhile shall not be moved back by accident. */
export const edit = (before: Charter, after: Charter): Partial<Charter> =>
  Object.fromEntries(differ(before, after).map((rule) => [rule, after[rule]]));

/** `admit bob` of the node, for people. */
export function decided(what: string): string {
  const [verb = '', ...rest] = what.split(' ');
  const subject = rest.join(' ');
  const words: Record<string, string> = {
    admit: `${subject} was let in`,
    expel: `${subject} was put out`,
    silent: `${subject} was dropped: nothing was heard`,
    charter: 'Other rules were taken',
    take_in: `A cluster came: ${subject}`,
    // Of a decision it begins as that does, `admit bob: yes 4, no 1`; so may a question, whose words are kept.
    answer: `Voted on in secret: ${subject.replace(/^take_in /, 'take in ')}`,
    leave: `${subject} left`,
    comeback: `${subject} came back`,
  };
  return words[verb] ?? what;
}
