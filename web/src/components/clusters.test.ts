import { screen, waitFor } from '@testing-library/svelte';
import { userEvent } from '@testing-library/user-event';
import type { Component } from 'svelte';
import { describe, expect, it, vi } from 'vitest';
import { ApiError, type Api } from '../lib/api';
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
  audit: async () => [
    { epoch: 1, what: ['admit bob'] },
    { epoch: 3, what: ['admit mallory', 'leave dave'] },
  ],
};

describe('a cluster in the list', () => {
  const lists: Partial<Api> = {
    clusters: async () => [cluster()],
    conversations: async () => [conversation({ id: 'c7', kind: 'cluster', who: 'nest', title: 'nest' })],
    messages: async () => [message({ conversation: 'c7', from: 'bobsmember', from_petname: 'bob', text: 'hello all' })],
  };

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
    await waitFor(() => expect(session.api.send).toHaveBeenCalledWith({ cluster: '1' }, 'hi'));
    await userEvent.click(screen.getByRole('button', { name: 'About nest' }));
    expect(session.view.dialog).toEqual({ name: 'cluster', which: '1' });
  });
});

describe('about a cluster', () => {
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
    const inviteToCluster = vi.fn(async () => ({ link: 'samizdat:cluster/abc' }));
    await show(ClusterDetails, { ...nest, openMotion, inviteToCluster }, { which: '1' });
    await userEvent.click(await screen.findByRole('button', { name: 'Propose carol' }));
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'admit', who: '3' });
    await userEvent.selectOptions(screen.getByLabelText('Whom'), 'bobsmember');
    await userEvent.click(screen.getByRole('button', { name: 'Propose it' }));
    expect(openMotion).toHaveBeenLastCalledWith('1', { kind: 'expel', who: 'bobsmember' });
    await userEvent.type(screen.getByLabelText('Question'), 'Tea?');
    await userEvent.type(screen.getByLabelText(/^Answers/), 'yes{Enter}no');
    await userEvent.click(screen.getByRole('button', { name: 'Ask' }));
    const asked = { kind: 'question', text: 'Tea?', options: ['yes', 'no'], ranked: false };
    expect(openMotion).toHaveBeenLastCalledWith('1', asked);
    await userEvent.click(screen.getByRole('button', { name: 'Make an invite link' }));
    expect(await screen.findByText('samizdat:cluster/abc')).toBeTruthy();
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
    await userEvent.type(screen.getByLabelText('Link to the cluster'), 'samizdat:cluster/abc');
    await userEvent.type(screen.getByLabelText(/What you call yourself/), 'al');
    await userEvent.type(screen.getByLabelText(/What you say/), 'hello');
    await userEvent.click(screen.getByRole('button', { name: 'Ask to be let in' }));
    expect(joinCluster).toHaveBeenCalledWith('samizdat:cluster/abc', 'al', 'hello');
    await waitFor(() => expect(session.view.pane).toEqual({ at: 'chat', key: 'cluster:1' }));
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
