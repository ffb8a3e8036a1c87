import { cleanup, screen, waitFor, within } from '@testing-library/svelte';
import { userEvent } from '@testing-library/user-event';
import type { Component } from 'svelte';
import { describe, expect, it, vi } from 'vitest';
import { ApiError, type Api } from '../lib/api';
import type { Motion } from '../lib/shapes';
import { cluster, clusterView, conversation, expectAccessible, fakeSession, message, motion } from '../testing/fixtures';
import { renderWithin } from '../testing/within';
import ChatPane from './ChatPane.svelte';
import ClusterDetails from './ClusterDetails.svelte';
import NewCluster from './NewCluster.svelte';
import Sidebar from './Sidebar.svelte';

async function show<P extends Record<string, unknown>>(of: Component<P>, api: Partial<Api>, given: Omit<P, 'onclose'>) {
  const session = fakeSession(api);
  await session.node.reload(undefined);
  const onclose = vi.fn();
  const container = renderWithin(session, of as Component<Record<string, unknown>>, { ...given, onclose });
  return { session, container, onclose };
}

const nest: Partial<Api> = {
  cluster: async () => clusterView(),
  joinRequests: async () => [{ request: '3', nick: 'carol', words: 'from the library', member: 'carolsmember', at: 1, from: null }],
  audit: async () => ({
    since: null,
    decisions: [
      { epoch: 1, what: ['admit bob'] },
      { epoch: 3, what: ['admit mallory', 'leave dave'] },
    ],
  }),
};

const lists: Partial<Api> = {
  clusters: async () => [cluster()],
  conversations: async () => [conversation({ id: 'c7', kind: 'cluster', who: 'nest', title: 'nest' })],
  messages: async () => [message({ conversation: 'c7', from: 'bobsmember', from_petname: 'bob', text: 'hello all' })],
};

describe('a cluster in the list', () => {
  it('has a heading of its own, and opens', async () => {
    const { session, container } = await show(Sidebar, lists, {});
    expect(screen.getByRole('heading', { name: 'Clusters' })).toBeTruthy();
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: /^nest/ }));
    expect(session.view.pane).toEqual({ at: 'chat', key: 'cluster:1' });
  });

  it('shows under which nickname everybody writes, and is written to by its number', async () => {
    const session = fakeSession({ ...lists, send: vi.fn(async () => message({ conversation: 'c7', mine: true })) });
    await session.node.reload(undefined);
    const chat = session.node.chat('cluster:1');
    const container = renderWithin(session, ChatPane, { chat: chat! });
    expect(await screen.findByText('hello all')).toBeTruthy();
    expect(screen.getAllByText(/bob/).length).toBeGreaterThan(0);
    expect(screen.getByText('Cluster of 3; you are alice')).toBeTruthy();
    await expectAccessible(container);
    await userEvent.type(screen.getByRole('textbox', { name: /^Message to/ }), 'hi{Enter}');
    await waitFor(() => expect(session.api.send).toHaveBeenCalledWith({ cluster: '1' }, 'hi', false));
    await userEvent.click(screen.getByRole('button', { name: 'About nest' }));
    expect(session.view.dialog).toEqual({ name: 'cluster', which: '1' });
  });
});

describe('a message without a name', () => {
  const anonymous = { ring: 3, label: 'Nobody can tell.' };
  const unsigned = message({ id: 'm7', conversation: 'c7', from: '', from_petname: null, text: 'who knows', anonymous });

  it('is by some member, each on its own, and nobody can be asked about', async () => {
    const messages = async () => [unsigned, { ...unsigned, id: 'm8', text: 'who else' }];
    const session = fakeSession({ ...lists, messages });
    await session.node.reload(undefined);
    const container = renderWithin(session, ChatPane, { chat: session.node.chat('cluster:1')! });
    await screen.findByText('who else');
    const authors = [...container.querySelectorAll('.author')].map((author) => author.textContent?.trim());
    expect(authors).toEqual(['some member (1 of 3)', 'some member (1 of 3)']);
    expect(screen.queryByTitle('Add as a contact')).toBeNull();
    await expectAccessible(container);
  });

  it('is written by keyboard alone, and the next one as well until the switch is off', async () => {
    const send = vi.fn(async () => message({ conversation: 'c7', mine: true, anonymous }));
    const session = fakeSession({ ...lists, send });
    await session.node.reload(undefined);
    const container = renderWithin(session, ChatPane, { chat: session.node.chat('cluster:1')! });
    await screen.findByText('hello all');
    const box = screen.getByRole<HTMLInputElement>('checkbox', { name: 'Anonymously', description: /Whoever sees your node's traffic may know/ });
    box.focus();
    await userEvent.keyboard(' ');
    expect(box.checked).toBe(true);
    await expectAccessible(container);
    await userEvent.tab();
    await userEvent.keyboard('who knows{Enter}');
    await waitFor(() => expect(send).toHaveBeenLastCalledWith({ cluster: '1' }, 'who knows', true));
    box.focus();
    await userEvent.keyboard(' ');
    await userEvent.type(screen.getByRole('textbox', { name: /^Message to/ }), 'hi{Enter}');
    await waitFor(() => expect(send).toHaveBeenLastCalledWith({ cluster: '1' }, 'hi', false));
  });

  it('stays without a name when a draft of it comes back, in another chat meanwhile or after a reload', async () => {
    const send = vi.fn(async () => message({ conversation: 'c7', mine: true, anonymous }));
    const session = fakeSession({ ...lists, send });
    await session.node.reload(undefined);
    const chat = session.node.chat('cluster:1')!;
    const theSwitch = () => screen.getByRole<HTMLInputElement>('checkbox', { name: 'Anonymously' });
    const field = () => screen.getByRole<HTMLTextAreaElement>('textbox', { name: /^Message to/ });

    renderWithin(session, ChatPane, { chat });
    await userEvent.click(theSwitch());
    await userEvent.type(field(), 'who knows');
    cleanup();
    renderWithin(session, ChatPane, { chat });
    expect([theSwitch().checked, field().value]).toEqual([true, 'who knows']);
    cleanup();

    const reloaded = fakeSession({ ...lists, send });
    await reloaded.node.reload(undefined);
    renderWithin(reloaded, ChatPane, { chat: reloaded.node.chat('cluster:1')! });
    expect([theSwitch().checked, field().value]).toEqual([true, 'who knows']);
    await userEvent.type(field(), '{Enter}');
    await waitFor(() => expect(send).toHaveBeenLastCalledWith({ cluster: '1' }, 'who knows', true));
  });

  it('stays without a name when the node refused it, whatever became of the switch meanwhile', async () => {
    let refuse = (_: Error) => {};
    const send = vi.fn(() => new Promise<never>((_, reject) => (refuse = reject)));
    const session = fakeSession({ ...lists, send });
    await session.node.reload(undefined);
    renderWithin(session, ChatPane, { chat: session.node.chat('cluster:1')! });
    const box = screen.getByRole<HTMLInputElement>('checkbox', { name: 'Anonymously' });
    await userEvent.click(box);
    await userEvent.type(screen.getByRole('textbox', { name: /^Message to/ }), 'who knows{Enter}');
    await userEvent.click(box);
    expect(box.checked).toBe(false);
    refuse(new ApiError('refused', 'Too few members.'));
    await waitFor(() => expect(session.view.drafts.get('cluster:1')).toEqual({ text: 'who knows', unsigned: true, to: '' }));
    await waitFor(() => expect(box.checked).toBe(true));
  });

  it('is for members, and for clusters', async () => {
    const session = fakeSession({ ...lists, clusters: async () => [cluster({ standing: 'asking' })] });
    await session.node.reload(undefined);
    renderWithin(session, ChatPane, { chat: session.node.chat('cluster:1')! });
    expect(screen.queryByRole('checkbox', { name: 'Anonymously' })).toBeNull();
  });
});

describe('a message to one member', () => {
  const withMembers = { ...lists, cluster: async () => clusterView() };

  it('is written by keyboard alone, and says who sees what', async () => {
    const send = vi.fn(async () => message({ conversation: 'c7', mine: true, to_member: 'bob' }));
    const session = fakeSession({ ...withMembers, send });
    await session.node.reload(undefined);
    const container = renderWithin(session, ChatPane, { chat: session.node.chat('cluster:1')! });
    const to = await screen.findByRole<HTMLSelectElement>('combobox', { name: /^To/ });
    expect([...to.options].map((option) => option.text)).toEqual(['all members', 'bob only', 'mallory only']);
    await userEvent.selectOptions(to, 'bob only');
    expect(screen.getByText(/The others see that you say something to/).textContent?.trim()).toBe(
      'The others see that you say something to bob, and not what.',
    );
    await expectAccessible(container);
    await userEvent.type(screen.getByRole('textbox', { name: 'Message to bob only, in nest' }), 'psst{Enter}');
    await waitFor(() => expect(send).toHaveBeenLastCalledWith({ cluster: '1', member: 'bobsmember' }, 'psst', false));
    await userEvent.selectOptions(to, 'all members');
    await userEvent.type(screen.getByRole('textbox', { name: 'Message to nest' }), 'hi{Enter}');
    await waitFor(() => expect(send).toHaveBeenLastCalledWith({ cluster: '1' }, 'hi', false));
  });

  it('never goes to all by accident: not after a reload, nor when that member has left', async () => {
    const send = vi.fn(() => Promise.reject(new ApiError('not_found', 'There is no member "bob".')));
    const session = fakeSession({ ...withMembers, send });
    await session.node.reload(undefined);
    renderWithin(session, ChatPane, { chat: session.node.chat('cluster:1')! });
    await userEvent.selectOptions(await screen.findByRole('combobox', { name: /^To/ }), 'bob only');
    await userEvent.type(screen.getByRole('textbox', { name: /^Message to/ }), 'psst');
    cleanup();

    const members = clusterView().members.filter(({ nick }) => nick !== 'bob');
    const reloaded = fakeSession({ ...withMembers, send, cluster: async () => clusterView({ members }) });
    await reloaded.node.reload(undefined);
    renderWithin(reloaded, ChatPane, { chat: reloaded.node.chat('cluster:1')! });
    const field = await screen.findByRole<HTMLTextAreaElement>('textbox', { name: /^Message to somebody who is no member any more/ });
    await userEvent.type(field, '{Enter}');
    await waitFor(() => expect(send).toHaveBeenLastCalledWith({ cluster: '1', member: 'bobsmember' }, 'psst', false));
    await waitFor(() => expect(reloaded.view.drafts.get('cluster:1')).toEqual({ text: 'psst', unsigned: false, to: 'bobsmember' }));
  });
});

describe('clusters that merge and split', () => {
  it('makes a link for a whole cluster', async () => {
    const link = 'samizdat:cluster/abc/def';
    const inviteCluster = vi.fn(async () => ({ link }));
    URL.createObjectURL = () => 'blob:drawing';
    URL.revokeObjectURL = () => undefined;
    const { container } = await show(ClusterDetails, { ...nest, inviteCluster, qr: async () => new Blob() }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Make a link for a whole cluster' }));
    expect(await screen.findByText(link)).toBeTruthy();
    expect(inviteCluster).toHaveBeenCalledWith('1');
    expect(screen.getByText(/A member of the other cluster proposes with it to come here/)).toBeTruthy();
    await expectAccessible(container);
  });

  it('moves to go into another, and keeps what was typed when that was refused', async () => {
    const openMotion = vi.fn().mockRejectedValueOnce(new ApiError('usage', 'This link does not say where it leads.')).mockResolvedValue(motion());
    await show(ClusterDetails, { ...nest, openMotion }, { which: '1' });
    const link = await screen.findByLabelText<HTMLInputElement>(/^Link/);
    await userEvent.type(link, 'samizdat:cluster/abc/def');
    await userEvent.type(screen.getByLabelText('What that cluster is called'), 'club{Enter}');
    expect((await screen.findByRole('alert')).textContent).toBe('This link does not say where it leads.');
    expect(link.value).toBe('samizdat:cluster/abc/def');
    await userEvent.click(screen.getByRole('button', { name: 'Propose to go there' }));
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'merge', link: 'samizdat:cluster/abc/def', name: 'club' });
    await waitFor(() => expect(link.value).toBe(''));
  });

  it('goes away with those who were chosen, and says whom it asked', async () => {
    const gone = { cluster: cluster({ cluster: '2', name: 'nest 2' }), link: 'samizdat:cluster/new', asked: ['bob'] };
    const splitCluster = vi.fn(async () => gone);
    const { container } = await show(ClusterDetails, { ...nest, splitCluster }, { which: '1' });
    const go = await screen.findByRole<HTMLButtonElement>('button', { name: 'Found it and ask them' });
    expect(go.disabled, 'nobody is chosen').toBe(true);
    const bob = screen.getByRole('checkbox', { name: 'bob' });
    bob.focus();
    await userEvent.keyboard(' ');
    await expectAccessible(container);
    await userEvent.click(go);
    expect(splitCluster).toHaveBeenCalledWith('1', ['bobsmember'], '');
    await waitFor(() => expect(container.textContent).toContain('Founded: nest 2. Asked to come along: bob.'));
  });

  it('shows the links that were made, and which of them are closed', async () => {
    const links = [
      { link: 'samizdat:cluster/one', label: 'poster', until: 1, closed: true, secret: false },
      { link: 'samizdat:cluster/two', label: '', until: 2, closed: false, secret: true },
    ];
    const { container } = await show(ClusterDetails, { ...nest, cluster: async () => clusterView({ links }) }, { which: '1' });
    expect(await screen.findByText(/closed, nobody comes in by it/)).toBeTruthy();
    expect(screen.getAllByRole('button', { name: 'Copy' }).length).toBe(1);
    expect(screen.getByText(/until .*; voted on in secret/)).toBeTruthy();
    await expectAccessible(container);
  });
});

/** The choice of a secret vote that stands in the same part of the page as this button. */
function secretly(button: HTMLElement): HTMLInputElement {
  const part = button.closest<HTMLElement>('form, section')!;
  return within(part).getByRole<HTMLInputElement>('checkbox', { name: /^Secret \(experimental\)/ });
}

describe('a decision that is voted on in secret', () => {
  const secret = (over: Partial<Motion> = {}) =>
    motion({ kind: 'admit', subject: 'carol', secret: true, phase: 'voting', yes: 0, yes_by: [], needed: 2, voters: 3, ...over });
  const showing = (...motions: Motion[]) => ({ ...nest, cluster: async () => clusterView({ motions }) });
  const card = async (name: string) => within(await screen.findByRole('article', { name }));
  const hint = async (name: string) => (await card(name)).getByText(/^Moved by/).textContent;

  /** Once that could not be shown: what was decided at an epoch, and what was moved at it, had one key. */
  it('is told beside what was decided at the same epoch, and whether it is proven', async () => {
    const audit = async () => ({
      since: null,
      decisions: [
        { epoch: 2, what: ['admit bob'] },
        { epoch: 2, what: ['answer expel dave: yes 1, no 2'] },
        { epoch: 3, what: ['expel dave'], untrue: ['expel dave'] },
        { epoch: 4, what: ['admit erin'], unknown: ['admit erin'] },
      ],
    });
    const { container } = await show(ClusterDetails, { ...nest, audit }, { which: '1' });
    await screen.findByText(/bob was let in/);
    expect(container.querySelectorAll('.past li').length).toBe(4);
    expect(screen.getByText(/Refused in a secret vote: dave was put out\. Enough members said falsely/)).toBeTruthy();
    expect(screen.getByText(/the result is not known here/)).toBeTruthy();
    expect(screen.queryByText(/Your node has verified every vote/)).toBeNull();
    await expectAccessible(container);
  });

  it('lets somebody in, by keyboard alone', async () => {
    const openMotion = vi.fn(async () => motion());
    const { container } = await show(ClusterDetails, { ...nest, openMotion }, { which: '1' });
    const propose = await screen.findByRole('button', { name: 'Propose carol' });
    expect(secretly(propose).checked, 'the ordinary case is one click').toBe(false);
    secretly(propose).focus();
    await userEvent.keyboard(' ');
    await expectAccessible(container);
    propose.focus();
    await userEvent.keyboard('{Enter}');
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'admit', who: '3', secret: true });
  });

  it('takes in a cluster', async () => {
    const openMotion = vi.fn(async () => motion());
    const joinRequests = async () => [{ request: '5', nick: 'erin', words: '', member: 'erin', at: 1, from: 'owls' }];
    await show(ClusterDetails, { ...nest, openMotion, joinRequests }, { which: '1' });
    const propose = await screen.findByRole('button', { name: 'Propose all of “owls”' });
    await userEvent.click(secretly(propose));
    await userEvent.click(propose);
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'take_in', from: 'owls', secret: true });
  });

  it('puts out, drops and takes other rules', async () => {
    const openMotion = vi.fn(async () => motion());
    const members = clusterView().members.map((one) => ({ ...one, silent: one.nick === 'mallory' }));
    await show(ClusterDetails, { ...nest, openMotion, cluster: async () => clusterView({ members }) }, { which: '1' });

    const expel = await screen.findByRole('button', { name: 'Propose it' });
    await userEvent.selectOptions(screen.getByLabelText('Whom'), 'bobsmember');
    await userEvent.click(secretly(expel));
    await userEvent.click(expel);
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'expel', who: 'bobsmember', secret: true });

    const drop = screen.getByRole('button', { name: 'Propose to drop them' });
    await userEvent.click(secretly(drop));
    await userEvent.click(drop);
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'silent', who: ['mallorysmember'], secret: true });

    const change = screen.getByRole('button', { name: 'Propose these rules' });
    await userEvent.type(screen.getByLabelText('What the cluster is called'), 's');
    await userEvent.click(secretly(change));
    await userEvent.click(change);
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'charter', charter: { name: 'nests' }, secret: true });
  });

  it('is for what changes the cluster, not for going into another', async () => {
    await show(ClusterDetails, nest, { which: '1' });
    const form = (await screen.findByRole('button', { name: 'Propose to go there' })).closest('form')!;
    expect(within(form).queryByRole('checkbox')).toBeNull();
  });

  it('takes a vote that waits for the key, and another instead', async () => {
    const vote = vi.fn(async () => motion());
    const { container } = await show(ClusterDetails, { ...showing(secret({ phase: 'making_key', ours: 'yes' })), vote }, { which: '1' });
    const { getByText, getByRole } = await card('Let carol in');
    expect(getByText('Your vote for yes waits for the key; until then you can change it.')).toBeTruthy();
    expect(await hint('Let carol in')).toBe(
      'Moved by bob. Secret vote (experimental). Some members make the key; votes wait until it is there.',
    );
    expect(screen.queryByRole('meter'), 'nothing is counted yet').toBeNull();
    await expectAccessible(container);
    await userEvent.click(getByRole('button', { name: 'Vote no' }));
    expect(vote).toHaveBeenCalledWith('abcdefghijkl', 'no');
  });

  it('shows who has voted, and takes no second vote', async () => {
    const open = secret({ voted: ['bob'] });
    const motions = [open, secret({ ...open, motion: 'b', subject: 'dave', voted: ['alice', 'bob'], ours: 'secret' })];
    await show(ClusterDetails, showing(...motions), { which: '1' });
    expect((await card('Let carol in')).getByRole('button', { name: 'Vote yes' })).toBeTruthy();
    const { getByText, queryByRole } = await card('Let dave in');
    expect(getByText('Have voted: alice, bob')).toBeTruthy();
    expect(getByText('You have voted. Not even this device knows how.')).toBeTruthy();
    expect(await hint('Let dave in')).toBe('Moved by bob. Secret vote (experimental). Open: 2 of 3 have voted, 2 must say yes.');
    expect(queryByRole('button')).toBeNull();
  });

  it('shows who confirmed what passed, among the open motions until it is carried out', async () => {
    const passed: Partial<Motion> = { phase: 'done', state: 'passed', yes: 2, no: 1, voted: ['alice', 'bob', 'dave'] };
    const motions = [
      secret({ ...passed, confirmed: ['bob'] }),
      secret({ ...passed, motion: 'b', subject: 'erin', confirmed: ['bob', 'dave'] }),
      secret({ ...passed, motion: 'c', subject: 'frank', confirmed: ['bob', 'dave'], done: true }),
    ];
    const { container } = await show(ClusterDetails, { ...showing(...motions), joinRequests: nest.joinRequests! }, { which: '1' });
    expect(await hint('Let carol in')).toBe(
      'Moved by bob. Secret vote (experimental). Passed: 2 yes, 1 no, 2 of 3 needed. It is carried out once 2 members confirm that, 1 so far.',
    );
    const { getByText, getByRole, queryByRole } = await card('Let carol in');
    expect(getByText('Confirm that it passed, however they voted: bob')).toBeTruthy();
    expect(getByRole('meter', { name: 'Votes for yes' }).getAttribute('value')).toBe('2');
    expect(queryByRole('button')).toBeNull();
    expect(await hint('Let erin in')).toContain('Passed, and being carried out: 2 yes, 1 no, 2 of 3 needed.');
    expect(await hint('Let frank in')).toContain('Passed, and carried out: 2 yes, 1 no, 2 of 3 needed.');
    const open = screen.getByRole('heading', { name: 'Open motions' }).closest('section')!;
    expect(within(open).getAllByRole('article').length).toBe(2);
    expect(screen.queryByRole('button', { name: 'Propose carol' }), 'is being let in already').toBeNull();
    expect(container.textContent).not.toContain('binds nobody');
    await expectAccessible(container);
  });

  it('says why nothing came of it', async () => {
    const failed = { phase: 'done', state: 'failed' } as const;
    const motions = [
      secret({ ...failed, yes: 1, no: 2 }),
      secret({ ...failed, motion: 'b', subject: 'erin', why: 'there is no key' }),
      secret({ motion: 'c', subject: 'frank', state: 'expired' }),
      secret({ motion: 'd', subject: 'gina', phase: 'opening' }),
    ];
    await show(ClusterDetails, showing(...motions), { which: '1' });
    expect(await hint('Let carol in')).toContain('Failed: 1 yes, 2 no, 2 of 3 needed.');
    expect(await hint('Let erin in')).toContain('Failed: there is no key.');
    expect((await card('Let erin in')).queryByRole('meter')).toBeNull();
    expect(await hint('Let frank in')).toContain('Its time ran out; everything stays as it was.');
    expect(await hint('Let gina in')).toContain('The sum is being opened: 0 of 3 have voted, 2 must say yes.');
    expect((await card('Let gina in')).queryByRole('button')).toBeNull();
  });

  it('keeps the focus at the motion when the buttons go, and at what was decided when it is over', async () => {
    for (const [voted, focused] of [
      [motion({ ours: 'yes' }), 'Put mallory out'],
      [motion({ ours: 'yes', yes: 2, state: 'passed', done: true }), 'What was decided'],
    ] as const) {
      let now = clusterView();
      const vote = async () => {
        now = clusterView({ motions: [voted] });
        return voted;
      };
      await show(ClusterDetails, { ...nest, vote, cluster: async () => now }, { which: '1' });
      (await screen.findByRole('button', { name: 'Vote yes' })).focus();
      await userEvent.keyboard('{Enter}');
      await waitFor(() => expect(document.activeElement?.textContent).toContain(focused));
      expect(screen.queryByRole('button', { name: 'Vote yes' })).toBeNull();
      cleanup();
    }
  });

  it('offers no vote in my own case', async () => {
    await show(ClusterDetails, showing(secret({ kind: 'expel', subject: 'alice' })), { which: '1' });
    expect((await card('Put alice out')).queryByRole('button')).toBeNull();
  });

  it('is told among what was decided, and so is a question that begins alike', async () => {
    const audit = async () => ({
      since: null,
      decisions: [
        { epoch: 4, what: ['answer admit bob: yes 4, no 1', 'admit bob'] },
        { epoch: 5, what: ['answer take_in owls: erin: yes 3, no 0'] },
        { epoch: 6, what: ['answer admit defeat?: yes 1, no 2'] },
      ],
    });
    const { container } = await show(ClusterDetails, { ...nest, audit }, { which: '1' });
    await waitFor(() => expect(container.textContent).toContain('Voted on in secret: admit bob: yes 4, no 1; bob was let in'));
    expect(container.textContent).toContain('Voted on in secret: take in owls: erin: yes 3, no 0');
    expect(container.textContent).toContain('Voted on in secret: admit defeat?: yes 1, no 2');
  });
});

describe('about a cluster', () => {
  it('tells the members what was read only if I want', async () => {
    const editCluster = vi.fn(async () => clusterView({ receipts: true }));
    const { container } = await show(ClusterDetails, { ...nest, editCluster }, { which: '1' });
    const box = await screen.findByRole<HTMLInputElement>('checkbox', { name: /^Tell the members what I have read/ });
    expect(box.checked).toBe(false);
    box.focus();
    await userEvent.keyboard(' ');
    expect(editCluster).toHaveBeenCalledWith('1', { receipts: true });
    await expectAccessible(container);
  });

  it('shows rules, members, who has voted, who asks and what was decided', async () => {
    const { container } = await show(ClusterDetails, nest, { which: '1' });
    expect(await screen.findByText(/at most 50 members/)).toBeTruthy();
    await waitFor(() => expect(container.textContent).toContain('mallory was let in; dave left'));
    const text = container.textContent?.replace(/\s+/g, ' ') ?? '';
    for (const part of ['Put mallory out', 'Moved by bob.', 'Open: 1 yes, 0 no, 2 of 2 needed.', 'Yes: bob', 'from the library']) {
      expect(text).toContain(part);
    }
    await expectAccessible(container);
  });

  it('is voted in', async () => {
    const vote = vi.fn(async () => motion());
    await show(ClusterDetails, { ...nest, vote }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Vote yes' }));
    expect(vote).toHaveBeenCalledWith('abcdefghijkl', 'yes');
  });

  it('offers no vote in my own case, nor a second one', async () => {
    const motions = [
      motion({ motion: 'a', subject: 'alice' }),
      motion({ motion: 'b', ours: 'yes' }),
      motion({ motion: 'c', state: 'failed' }),
    ];
    await show(ClusterDetails, { ...nest, cluster: async () => clusterView({ motions }) }, { which: '1' });
    expect(await screen.findByText('You said yes.')).toBeTruthy();
    expect(screen.queryByRole('button', { name: /Vote/ })).toBeNull();
  });

  it('is asked, by the options of the question', async () => {
    const options = [
      { option: 'tea', first: 1, place: 1 },
      { option: 'coffee', first: 0, place: 2 },
    ];
    const vote = vi.fn(async () => motion());
    const motions = [motion({ kind: 'question', subject: 'What to drink?', options })];
    const { container } = await show(ClusterDetails, { ...nest, vote, cluster: async () => clusterView({ motions }) }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Vote for coffee' }));
    expect(vote).toHaveBeenCalledWith('abcdefghijkl', '2');
    await expectAccessible(container);
  });

  it('proposes newcomers, puts out, asks and invites', async () => {
    const openMotion = vi.fn(async () => motion());
    await show(ClusterDetails, { ...nest, openMotion }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Propose carol' }));
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'admit', who: '3' });
    await userEvent.selectOptions(screen.getByLabelText('Whom'), 'bobsmember');
    await userEvent.click(screen.getByRole('button', { name: 'Propose it' }));
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'expel', who: 'bobsmember' });
    await userEvent.type(screen.getByLabelText('Question'), 'Tea?');
    await userEvent.type(screen.getByLabelText(/^Answers/), 'yes{Enter}no');
    await userEvent.click(screen.getByRole('button', { name: 'Ask' }));
    const asked = { kind: 'question', text: 'Tea?', options: ['yes', 'no'], ranked: false, secret: false };
    expect(openMotion).toHaveBeenLastCalledWith('1', asked);
    expect(screen.getByLabelText<HTMLInputElement>('Question').value).toBe('');
    await userEvent.type(screen.getByLabelText('Question'), 'Which tea?');
    await userEvent.type(screen.getByLabelText(/^Answers/), 'black{Enter}green');
    await userEvent.click(screen.getByRole('checkbox', { name: /^Put the answers in order/ }));
    await userEvent.click(screen.getByRole('button', { name: 'Ask' }));
    const ranked = { kind: 'question', text: 'Which tea?', options: ['black', 'green'], ranked: true, secret: false };
    expect(openMotion).toHaveBeenLastCalledWith('1', ranked);
    const inSecret = secretly(screen.getByRole('button', { name: 'Ask' }));
    expect(inSecret.disabled).toBe(true);
    await userEvent.click(screen.getByRole('checkbox', { name: /^Put the answers in order/ }));
    await userEvent.click(inSecret);
    await userEvent.type(screen.getByLabelText('Question'), 'Who leads?');
    await userEvent.type(screen.getByLabelText(/^Answers/), 'alice{Enter}bob');
    await userEvent.click(screen.getByRole('button', { name: 'Ask' }));
    const secret = { kind: 'question', text: 'Who leads?', options: ['alice', 'bob'], ranked: false, secret: true };
    expect(openMotion).toHaveBeenLastCalledWith('1', secret);
  });

  it('keeps what was typed when the question was refused', async () => {
    const openMotion = vi.fn(() => Promise.reject(new ApiError('usage', 'A question wants 2 to 16 answers.')));
    await show(ClusterDetails, { ...nest, openMotion }, { which: '1' });
    await userEvent.type(await screen.findByLabelText('Question'), 'Tea?');
    await userEvent.type(screen.getByLabelText(/^Answers/), 'yes');
    await userEvent.click(screen.getByRole('button', { name: 'Ask' }));
    expect((await screen.findByRole('alert')).textContent).toBe('A question wants 2 to 16 answers.');
    expect(screen.getByLabelText<HTMLInputElement>('Question').value).toBe('Tea?');
  });

  it('is joined by a link that can be photographed, or by words that can be said', async () => {
    const link = 'samizdat:cluster/abc';
    const passphrase = 'able about above absent absorb abstract absurd abuse';
    const inviteToCluster = vi.fn(async (_: string, words?: number) => (words ? { link, passphrase } : { link }));
    const qr = vi.fn(async () => new Blob());
    URL.createObjectURL = () => 'blob:drawing';
    URL.revokeObjectURL = () => undefined;
    const { container } = await show(ClusterDetails, { ...nest, inviteToCluster, qr }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Make an invite link' }));
    expect(await screen.findByText(link)).toBeTruthy();
    expect(await screen.findByRole('img', { name: 'QR code of the link below' })).toBeTruthy();
    expect(qr).toHaveBeenCalledWith(link);
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Make another passphrase' }));
    expect(await screen.findByText(passphrase)).toBeTruthy();
    expect(screen.queryByText(link), 'the words are all that is handed over').toBeNull();
    expect(inviteToCluster).toHaveBeenLastCalledWith('1', 8, false);
    const how = screen.getByText('How the members vote on whoever comes');
    await userEvent.click(how);
    await userEvent.click(within(how.closest('details')!).getByRole('checkbox', { name: /^Secret \(experimental\)/ }));
    await userEvent.click(screen.getByRole('button', { name: 'Make another link' }));
    expect(inviteToCluster).toHaveBeenLastCalledWith('1', 0, true);
    await expectAccessible(container);
  });

  it('moves for other rules, of which only what is different is sent', async () => {
    const openMotion = vi.fn(async () => motion());
    const { container } = await show(ClusterDetails, { ...nest, openMotion }, { which: '1' });
    const propose = await screen.findByRole<HTMLButtonElement>('button', { name: 'Propose these rules' });
    expect(propose.disabled).toBe(true);
    const cap = screen.getByLabelText(/^Members at most/);
    await userEvent.clear(cap);
    await userEvent.type(cap, '60');
    await userEvent.selectOptions(screen.getByLabelText(/^What newcomers get/), 'the last messages');
    await userEvent.click(screen.getByRole('checkbox', { name: /^Members vote by themselves/ }));
    expect(screen.getByText('at most 60 members')).toBeTruthy();
    await expectAccessible(container);
    await userEvent.click(propose);
    const charter = { cap: 60, history: { last: 100 }, automatic_ballots: false };
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'charter', charter });
  });

  it('moves to drop who is silent, and nobody else', async () => {
    const openMotion = vi.fn(async () => motion());
    const members = clusterView().members.map((one) => ({ ...one, silent: !one.own }));
    const { container } = await show(ClusterDetails, { ...nest, openMotion, cluster: async () => clusterView({ members }) }, { which: '1' });
    const silent = await screen.findByRole('group', { name: /^Nothing is heard of them/ });
    await userEvent.click(within(silent).getByRole('checkbox', { name: 'bob' }));
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Propose to drop them' }));
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'silent', who: ['mallorysmember'] });
  });

  it('does not speak of the silent when there are none', async () => {
    await show(ClusterDetails, nest, { which: '1' });
    await screen.findByText('Propose other rules');
    expect(screen.queryByText('Propose to drop who is silent')).toBeNull();
  });

  it('is voted in by order, with the keyboard alone', async () => {
    const options = ['tea', 'coffee', 'water'].map((option, at) => ({ option, first: 0, place: at + 1 }));
    const vote = vi.fn(async () => motion());
    const motions = [motion({ kind: 'question', subject: 'What to drink?', options, ranked: true })];
    const { container } = await show(ClusterDetails, { ...nest, vote, cluster: async () => clusterView({ motions }) }, { which: '1' });
    const up = await screen.findByRole('button', { name: 'Move water up' });
    up.focus();
    await userEvent.keyboard('{Enter}');
    expect(screen.getByText('water is now 2 of 3')).toBeTruthy();
    await waitFor(() => expect(document.activeElement?.getAttribute('aria-label')).toBe('Move water up'));
    await userEvent.keyboard('{Enter}');
    await waitFor(() => expect(document.activeElement?.getAttribute('aria-label')).toBe('Move water down'));
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Vote in this order' }));
    expect(vote).toHaveBeenCalledWith('abcdefghijkl', '3,1,2');
  });

  it('shows what was ranked by its places, and what I said by names', async () => {
    const options = [
      { option: 'tea', first: 1, place: 3 },
      { option: 'coffee', first: 1, place: 1 },
      { option: 'water', first: 1, place: 2 },
    ];
    const over = motion({ kind: 'question', subject: 'What to drink?', state: 'passed', options, ranked: true, ours: '2,1' });
    const { container } = await show(ClusterDetails, { ...nest, cluster: async () => clusterView({ motions: [over] }) }, { which: '1' });
    expect(await screen.findByText('You said coffee, then tea.')).toBeTruthy();
    const shown = [...container.querySelectorAll('article ol li span:first-child')].map((one) => one.textContent);
    expect(shown).toEqual(['coffee', 'water', 'tea']);
  });

  it('shows who has voted in secret and how far it is, and numbers when they are opened', async () => {
    const options = ['tea', 'coffee'].map((option, at) => ({ option, first: 0, place: at + 1 }));
    const secret = motion({ kind: 'question', subject: 'What?', options, secret: true, phase: 'making_key', voters: 3, yes_by: [] });
    const motions = [
      motion({ ...secret, ours: '2' }),
      motion({ ...secret, motion: 'b', subject: 'And then?', phase: 'voting', voted: ['alice'], ours: 'secret' }),
      motion({ ...secret, motion: 'c', subject: 'Or?', phase: 'done', state: 'failed', why: 'too few were there' }),
      motion({
        ...secret,
        motion: 'd',
        subject: 'So?',
        phase: 'done',
        state: 'passed',
        voted: ['alice', 'bob'],
        left_out: ['carol'],
        options: [{ option: 'yes', first: 2, place: 1 }],
      }),
    ];
    const vote = vi.fn(async () => motion());
    const { container } = await show(ClusterDetails, { ...nest, vote, cluster: async () => clusterView({ motions }) }, { which: '1' });
    expect(await screen.findByText('Your vote for coffee waits for the key; until then you can change it.')).toBeTruthy();
    expect(screen.getByText(/Some members make the key/)).toBeTruthy();
    expect(screen.getByText(/Open: 1 of 3 have voted\./)).toBeTruthy();
    expect(screen.getByText('You have voted. Not even this device knows how.')).toBeTruthy();
    expect(screen.getByText(/Failed: too few were there\./)).toBeTruthy();
    expect(screen.getByText('Have voted: alice, bob')).toBeTruthy();
    expect(screen.getByText('Not counted, since trustees heard of it too late: carol')).toBeTruthy();
    expect([...container.querySelectorAll('article ol li .hint')].map((one) => one.textContent)).toEqual(['best for 2']);
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Vote for tea' }));
    expect(vote).toHaveBeenCalledWith('abcdefghijkl', '1');
  });

  it('takes in all who come with a cluster by one motion', async () => {
    const openMotion = vi.fn(async () => motion());
    const joinRequests = async () =>
      ['erin', 'frank'].map((nick, i) => ({ request: `${i}`, nick, words: '', member: nick, at: 1, from: 'owls' }));
    const motions = [motion({ kind: 'take_in', subject: 'hawks: gina' })];
    const view = async () => clusterView({ motions });
    const { container } = await show(ClusterDetails, { ...nest, openMotion, joinRequests, cluster: view }, { which: '1' });
    const [first] = await screen.findAllByRole('button', { name: 'Propose all of “owls”' });
    await userEvent.click(first!);
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'take_in', from: 'owls' });
    expect(screen.getByText('Let in all who come with a cluster: hawks: gina')).toBeTruthy();
    await expectAccessible(container);
  });

  it('reads again when the node says that something changed', async () => {
    let now = clusterView();
    const { session } = await show(ClusterDetails, { ...nest, cluster: async () => now }, { which: '1' });
    await screen.findByRole('button', { name: 'Vote yes' });
    now = clusterView({ motions: [motion({ yes: 2, state: 'passed', done: true })] });
    session.node.handle({ event: 'cluster', cluster: cluster() }, undefined);
    await waitFor(() => expect(screen.queryByRole('button', { name: 'Vote yes' })).toBeNull());
  });

  it('says how far back it knows what was decided, to who was put out as well', async () => {
    const audit = async () => ({ since: 17, decisions: [{ epoch: 18, what: ['admit bob'] }] });
    const view = async () => clusterView({ standing: 'removed' });
    const { container } = await show(ClusterDetails, { ...nest, cluster: view, audit }, { which: '1' });
    expect(await screen.findByText('Your node has verified every vote since epoch 17.')).toBeTruthy();
    await expectAccessible(container);
    cleanup();
    await show(ClusterDetails, nest, { which: '1' });
    expect(await screen.findByText('Your node has verified every vote since the founding.')).toBeTruthy();
  });

  it('says when the history does not verify', async () => {
    const audit = () => Promise.reject(new ApiError('refused', 'Decision 2 does not verify.'));
    await show(ClusterDetails, { ...nest, audit }, { which: '1' });
    expect((await screen.findByRole('alert')).textContent).toBe('Decision 2 does not verify.');
  });

  it('tells who I am only after a second click, and shows who others say they are', async () => {
    const told = clusterView({ members: clusterView().members.map((one) => (one.own ? { ...one, name: 'alicesname' } : one)) });
    let now = clusterView();
    const claimInCluster = vi.fn(async () => (now = told));
    await show(ClusterDetails, { ...nest, cluster: async () => now, claimInCluster }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Say who I am' }));
    expect(claimInCluster).not.toHaveBeenCalled();
    await userEvent.click(screen.getByRole('button', { name: /Really tell all members/ }));
    expect(await screen.findByText('is alicesname')).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Say who I am' })).toBeNull();
  });

  it('tells one member alone who I am', async () => {
    const claimInCluster = vi.fn(async () => clusterView());
    const { container } = await show(ClusterDetails, { ...nest, claimInCluster }, { which: '1' });
    const other = clusterView().members.find(({ own }) => !own)!;
    await userEvent.selectOptions(await screen.findByLabelText('Say who I am to'), other.member);
    await userEvent.click(screen.getByRole('button', { name: 'Say who I am' }));
    await userEvent.click(screen.getByRole('button', { name: /Really tell this member/ }));
    expect(claimInCluster).toHaveBeenCalledExactlyOnceWith('1', other.member);
    expect(await screen.findByText(`${other.nick} is told who you are.`)).toBeTruthy();
    await expectAccessible(container);
  });

  it('is left only after a second click', async () => {
    const leaveCluster = vi.fn(async () => clusterView({ standing: 'left' }));
    const { onclose } = await show(ClusterDetails, { ...nest, leaveCluster }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Leave' }));
    expect(leaveCluster).not.toHaveBeenCalled();
    await userEvent.click(screen.getByRole('button', { name: /Really leave/ }));
    await waitFor(() => expect(onclose).toHaveBeenCalledOnce());
  });
});

describe('a new cluster', () => {
  const lists: Partial<Api> = {
    clusters: async () => [cluster()],
    conversations: async () => [conversation({ id: 'c7', kind: 'cluster', who: 'nest', title: 'nest' })],
  };

  it('is joined by a link', async () => {
    const joinCluster = vi.fn(async () => clusterView({ standing: 'asking' }));
    const { session, container } = await show(NewCluster, { ...lists, joinCluster }, {});
    await expectAccessible(container);
    await userEvent.type(screen.getByLabelText(/^Link or passphrase/), 'samizdat:cluster/abc');
    await userEvent.type(screen.getByLabelText(/What you call yourself/), 'al');
    await userEvent.type(screen.getByLabelText(/What you say/), 'hello');
    await userEvent.click(screen.getByRole('button', { name: 'Ask to be let in' }));
    expect(joinCluster).toHaveBeenCalledWith({ link: 'samizdat:cluster/abc' }, 'al', 'hello');
    await waitFor(() => expect(session.view.pane).toEqual({ at: 'chat', key: 'cluster:1' }));
  });

  it('is joined by words, and says which is wrong', async () => {
    const why = 'Word 2 of the passphrase, "brigde", is none of the words that there are: ask how it is spelled.';
    const joinCluster = vi.fn(() => Promise.reject(new ApiError('usage', why)));
    await show(NewCluster, { ...lists, joinCluster }, {});
    await userEvent.type(screen.getByLabelText(/^Link or passphrase/), ' Able brigde above{Enter}');
    expect(joinCluster).toHaveBeenCalledWith({ passphrase: 'Able brigde above' }, undefined, undefined);
    expect((await screen.findByRole('alert')).textContent).toBe(why);
  });

  it('is founded, and says why not', async () => {
    const foundCluster = vi.fn(() => Promise.reject(new ApiError('usage', 'The name is too long.')));
    const { container } = await show(NewCluster, { ...lists, foundCluster }, {});
    await userEvent.click(screen.getByRole('radio', { name: /^Found one/ }));
    await userEvent.type(screen.getByLabelText('Name of the cluster'), 'nest{Enter}');
    expect(foundCluster).toHaveBeenCalledWith('nest', undefined);
    expect((await screen.findByRole('alert')).textContent).toBe('The name is too long.');
    await expectAccessible(container);
  });
});
