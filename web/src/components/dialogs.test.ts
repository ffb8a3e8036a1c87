import { screen, waitFor, within } from '@testing-library/svelte';
import { userEvent } from '@testing-library/user-event';
import type { Component } from 'svelte';
import { describe, expect, it, vi } from 'vitest';
import type { Api } from '../lib/api';
import { ApiError } from '../lib/api';
import type { Status } from '../lib/shapes';
import { ALICE, BOB, contact, expectAccessible, fakeSession, room, status } from '../testing/fixtures';
import { renderWithin } from '../testing/within';
import AddContact from './AddContact.svelte';
import ContactDetails from './ContactDetails.svelte';
import InviteLink from './InviteLink.svelte';
import JoinRoom from './JoinRoom.svelte';
import StatusPanel from './StatusPanel.svelte';

async function show<P extends Record<string, unknown>>(of: Component<P>, api: Partial<Api>, given: Omit<P, 'onclose'>) {
  const session = fakeSession(api);
  await session.node.reload(undefined);
  const onclose = vi.fn();
  const container = renderWithin(session, of as Component<Record<string, unknown>>, { ...given, onclose });
  return { session, container, onclose };
}

describe('adding a contact', () => {
  it('opens the conversation', async () => {
    const addContact = vi.fn(async () => contact());
    const { session, onclose } = await show(AddContact, { addContact }, {});
    await userEvent.type(screen.getByLabelText('Invite link or name'), ` samizdat:${BOB}/x `);
    await userEvent.type(screen.getByLabelText(/What you will call them/), 'Bob');
    await userEvent.click(screen.getByRole('button', { name: 'Add and write' }));
    expect(addContact).toHaveBeenCalledWith(`samizdat:${BOB}/x`, 'Bob');
    expect(onclose).toHaveBeenCalledOnce();
    expect(session.view.pane).toEqual({ at: 'chat', key: `direct:${BOB}` });
  });

  it('asks the node once, and keeps the focus while it waits', async () => {
    const addContact = vi.fn(() => new Promise<never>(() => {}));
    await show(AddContact, { addContact }, {});
    await userEvent.type(screen.getByLabelText('Invite link or name'), BOB);
    const button = screen.getByRole('button', { name: 'Add and write' });
    button.focus();
    await userEvent.keyboard('{Enter}{Enter}');
    expect(addContact).toHaveBeenCalledOnce();
    expect(button.getAttribute('aria-disabled')).toBe('true');
    expect(document.activeElement).toBe(button);
  });

  it("shows the node's sentence beside the field and stays", async () => {
    const sentence = 'There is a typing error in group 3 ("abcx"): compare it with the original.';
    const { container, onclose } = await show(
      AddContact,
      { addContact: () => Promise.reject(new ApiError('usage', sentence)) },
      {},
    );
    const field = screen.getByLabelText('Invite link or name');
    await userEvent.type(field, 'abcx{Enter}');
    expect((await screen.findByRole('alert')).textContent).toBe(sentence);
    expect(field.getAttribute('aria-invalid')).toBe('true');
    expect(document.activeElement).toBe(field);
    expect(onclose).not.toHaveBeenCalled();
    await expectAccessible(container);
  });
});

describe('my invite link', () => {
  it('is shown as text and as a picture', async () => {
    const link = `samizdat:${ALICE}/secret`;
    const qr = vi.fn(async () => new Blob());
    const { container } = await show(InviteLink, { invite: async () => ({ link, name: ALICE }), qr }, {});
    expect((await screen.findByTestId('invite-link')).textContent).toBe(link);
    expect(await screen.findByRole('img')).toBeTruthy();
    expect(qr).toHaveBeenCalledWith(link);
    await expectAccessible(container);
  });
});

describe('joining a room', () => {
  it('opens the room', async () => {
    const { session, container } = await show(JoinRoom, { join: async (name: string) => room({ room: name }) }, {});
    await expectAccessible(container);
    await userEvent.type(screen.getByLabelText('Name of the room'), 'gardening{Enter}');
    await waitFor(() => expect(session.view.pane).toEqual({ at: 'chat', key: 'room:gardening' }));
  });
});

describe('a contact', () => {
  const changeContact = vi.fn(async () => contact());
  const bob = { contacts: async () => [contact()], changeContact };

  it('can be renamed, and its name is shown in groups', async () => {
    const { container, onclose } = await show(ContactDetails, bob, { who: BOB });
    expect(screen.getByText('bbcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567-abcd-ef')).toBeTruthy();
    await expectAccessible(container);
    const field = screen.getByLabelText(/What you call them/);
    await userEvent.clear(field);
    await userEvent.type(field, 'Bobby{Enter}');
    expect(changeContact).toHaveBeenLastCalledWith(BOB, { petname: 'Bobby' });
    expect(onclose).toHaveBeenCalledOnce();
  });

  it('is told what I have read only when I want it', async () => {
    const { container } = await show(ContactDetails, bob, { who: BOB });
    const choice = screen.getByRole('checkbox', { name: /Tell them what I have read/ }) as HTMLInputElement;
    expect(choice.checked).toBe(false);
    await userEvent.click(choice);
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(changeContact).toHaveBeenLastCalledWith(BOB, { receipts: true });
  });

  it('is connected to only as I choose, and says what that shows', async () => {
    const { container } = await show(ContactDetails, bob, { who: BOB });
    const choice = (name: RegExp) => screen.getByRole('radio', { name }) as HTMLInputElement;
    expect(choice(/^No/).checked).toBe(true);
    await userEvent.click(choice(/Your contact learns your internet address/));
    await expectAccessible(container);
    await userEvent.click(choice(/The relay sees that two internet addresses talk, not who/));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(changeContact).toHaveBeenLastCalledWith(BOB, { session: 'relayed' });
  });

  it('may have my internet address only when I say so, beside what that shows, and not by leaving it', async () => {
    const relayed = async () => [contact({ session: 'relayed', session_state: 'waiting' })];
    const { container } = await show(ContactDetails, { ...bob, contacts: relayed }, { who: BOB });
    const said =
      'Your contact learns your internet address, and may learn those of this computer in your local network; all of them while it finds nodes there. Only if they choose this too; otherwise through relays.';
    const radios = screen.getAllByRole<HTMLInputElement>('radio');
    expect(radios.map(({ checked }) => checked)).toEqual([false, true, false]);
    expect(screen.getByRole('radio', { name: `Straight ${said}` })).toBe(radios[2]);
    expect(container.textContent).toContain('Not connected now.');
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(changeContact).toHaveBeenLastCalledWith(BOB, {});
  });

  it('is connected to straight once I chose that', async () => {
    await show(ContactDetails, bob, { who: BOB });
    await userEvent.click(screen.getByRole('radio', { name: /^Straight/ }));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(changeContact).toHaveBeenLastCalledWith(BOB, { session: 'direct' });
  });

  it('is let go of with a word of mine', async () => {
    const direct = async () => [contact({ session: 'direct', session_state: 'open' })];
    await show(ContactDetails, { ...bob, contacts: direct }, { who: BOB });
    expect(screen.getByRole<HTMLInputElement>('radio', { name: /^Straight/ }).checked).toBe(true);
    await userEvent.click(screen.getByRole('radio', { name: /^No/ }));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(changeContact).toHaveBeenLastCalledWith(BOB, { session: 'off' });
  });

  it.each([
    ['direct', 'Connected now, straight, 12 ms.'],
    ['relayed', 'Connected now, through a relay, 12 ms.'],
    ['lan', 'Connected now, in your local network, 12 ms.'],
  ] as const)('says by which path it is connected: %s', async (path, said) => {
    const open = { peer: 'p', contact: 'Bob', name: BOB, path, rtt_ms: 12.4, since: 0 };
    const api = {
      ...bob,
      contacts: async () => [contact({ session: 'direct', session_state: 'open' })],
      status: async () => status({ sessions: [open] }),
    };
    const { container } = await show(ContactDetails, api, { who: BOB });
    expect(container.textContent).toContain(said);
    await expectAccessible(container);
  });

  it('stays as it was when the node refuses, which says why', async () => {
    const refused = () => Promise.reject(new ApiError('refused', 'The disk is full.'));
    const { onclose } = await show(ContactDetails, { ...bob, changeContact: refused }, { who: BOB });
    await userEvent.click(screen.getByRole('radio', { name: /^Straight/ }));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect((await screen.findByRole('alert')).textContent).toBe('The disk is full.');
    expect(onclose).not.toHaveBeenCalled();
  });

  it('says when they do not want to be connected', async () => {
    const declined = async () => [contact({ session: 'relayed', session_state: 'declined' })];
    const { container } = await show(ContactDetails, { ...bob, contacts: declined }, { who: BOB });
    expect(container.textContent).toContain('They have said that they do not want this.');
  });

  it('can be blocked', async () => {
    await show(ContactDetails, bob, { who: BOB });
    await userEvent.click(screen.getByRole('button', { name: 'Block' }));
    expect(changeContact).toHaveBeenLastCalledWith(BOB, { blocked: true });
  });

  it('is not unblocked by a second click', async () => {
    let state: 'accepted' | 'blocked' = 'accepted';
    // The answer takes longer than the news.
    const changeContact = vi.fn((..._: unknown[]) => new Promise<never>(() => {}));
    const { session } = await show(ContactDetails, { ...bob, contacts: async () => [contact({ state })], changeContact }, { who: BOB });
    await userEvent.click(screen.getByRole('button', { name: 'Block' }));
    state = 'blocked';
    await session.node.lists();
    await userEvent.click(screen.getByRole('button', { name: 'Block' }));
    expect(changeContact.mock.calls).toEqual([[BOB, { blocked: true }], [BOB, { blocked: true }]]);
  });
});

describe('the status panel', () => {
  it('tells peers, paths, outbox, store, refusals, vault and version', async () => {
    const { container } = await show(StatusPanel, {}, {});
    const text = container.textContent?.replace(/\s+/g, ' ') ?? '';
    for (const part of [
      'k3v2m7qf4d over a relay, 42 ms',
      'Hidden among about 40 nodes.',
      '1 waiting, 0 being stamped, 2 stamped',
      '12 envelopes, 3.1 MB of 1.0 GB',
      'Refused: stamp too low 3.',
      'No passphrase',
      'Samizdat 0.1.0',
    ]) {
      expect(text).toContain(part);
    }
    await expectAccessible(container);
  });

  it('switches the role of a relay on, with what it means beside the switch', async () => {
    const before = status();
    const roles = before.roles.map((role) => ({ ...role, on: true, why: 'Announced.', tcp_port: 4001, udp_port: 4002 }));
    const editNode = vi.fn(async () => status({ roles }));
    const { container } = await show(StatusPanel, { editNode }, {});
    const box = screen.getByRole('checkbox', { name: 'Be a relay', description: /Carries the packets.* Off:/ });
    await userEvent.click(box);
    expect(editNode).toHaveBeenCalledWith({ relay: true });
    await waitFor(() => expect(container.textContent).toContain('TCP port 4001, UDP port 4002'));
    expect((box as HTMLInputElement).checked).toBe(true);
    await expectAccessible(container);
  });

  it('takes a switch back that the node refused, and says why', async () => {
    const editNode = () => Promise.reject(new ApiError('refused', 'The disk is full.'));
    await show(StatusPanel, { editNode }, {});
    const box = screen.getByRole<HTMLInputElement>('checkbox', { name: /Use relays/ });
    await userEvent.click(box);
    expect((await screen.findByRole('alert')).textContent).toBe('The disk is full.');
    expect(box.checked).toBe(true);
  });

  it('says at the switch itself why the node refused, and its commands as such', async () => {
    const editNode = () => Promise.reject(new ApiError('refused', 'First say `samizdat node proxy off`.'));
    const { container } = await show(StatusPanel, { editNode }, {});
    for (const label of ['Use relays of others where nothing else works', 'Find nodes in the local network', 'Be a relay']) {
      const box = screen.getByRole<HTMLInputElement>('checkbox', { name: label });
      const before = box.checked;
      await userEvent.click(box);
      const said = await within(box.closest('.switch') as HTMLElement).findByRole('alert');
      expect(said.textContent).toBe('First say samizdat node proxy off.');
      expect(said.querySelector('code')?.textContent).toBe('samizdat node proxy off');
      expect(box.checked).toBe(before);
    }
    await expectAccessible(container);
  });

  it('keeps the focus on a switch, and hears it once, while the node is at it', async () => {
    let answer = (_: Status) => {};
    const editNode = vi.fn(() => new Promise<Status>((done) => (answer = done)));
    await show(StatusPanel, { editNode }, {});
    const box = screen.getByRole<HTMLInputElement>('checkbox', { name: 'Find nodes in the local network' });
    box.focus();
    await userEvent.keyboard(' ');
    expect(box.getAttribute('aria-disabled')).toBe('true');
    await userEvent.keyboard(' ');
    expect(editNode).toHaveBeenCalledExactlyOnceWith({ lan: true });
    expect(document.activeElement).toBe(box);
    answer(status({ meeting: { ...status().meeting, lan: { on: true, why: 'On.' } } }));
    await waitFor(() => expect(box.getAttribute('aria-disabled')).toBe('false'));
    expect(box.checked).toBe(true);
    await userEvent.keyboard(' ');
    expect(editNode).toHaveBeenLastCalledWith({ lan: false });
    // A node that did not do it after all.
    answer(status({ meeting: { ...status().meeting, lan: { on: true, why: 'On.' } } }));
    await waitFor(() => expect(box.getAttribute('aria-disabled')).toBe('false'));
    expect(box.checked).toBe(true);
  });

  it('goes behind a proxy and leaves it, and says why it does not', async () => {
    const behind = { at: 'socks5://127.0.0.1:9050', why: 'On: nothing leaves but to the proxy.' };
    const editNode = vi.fn(async () => status({ meeting: { ...status().meeting, proxy: behind } }));
    editNode.mockRejectedValueOnce(new ApiError('usage', 'A proxy looks otherwise.'));
    const { container } = await show(StatusPanel, { editNode }, {});
    const box = screen.getByLabelText(/Everything through a SOCKS5 proxy/);
    await userEvent.type(box, ' socks5://me:secret@127.0.0.1:9050');
    await userEvent.click(screen.getByRole('button', { name: 'Use this proxy' }));
    expect((await screen.findByRole('alert')).textContent).toBe('A proxy looks otherwise.');
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Use this proxy' }));
    expect(editNode).toHaveBeenLastCalledWith({ proxy: 'socks5://me:secret@127.0.0.1:9050' });
    const leave = await screen.findByRole('button', { name: 'Leave the proxy', description: behind.why });
    await waitFor(() => expect(document.activeElement).toBe(leave));
    await userEvent.click(leave);
    expect(editNode).toHaveBeenLastCalledWith({ proxy: 'off' });
    expect(container.textContent).toContain(behind.why);
    await expectAccessible(container);
  });

  it('keeps an entry at a name server and takes it away, with what that means beside the switch', async () => {
    const { meeting } = status();
    const own_entry = { domain: 'entry.example', stands: false, why: 'Waiting until others have found that strangers can dial it.' };
    const keepEntry = vi.fn(async () => ({ ...meeting, own_entry }));
    keepEntry.mockRejectedValueOnce(new ApiError('usage', 'This is no key file.'));
    const removeEntry = vi.fn(async () => meeting);
    const { container } = await show(StatusPanel, { keepEntry, removeEntry }, {});
    const box = screen.getByRole<HTMLInputElement>('checkbox', { name: 'Be an entry point', description: 'Newcomers find this node in DNS.' });
    await userEvent.click(box);
    await userEvent.type(screen.getByLabelText('Your domain'), ' entry.example');
    await userEvent.type(screen.getByLabelText('Its address'), '192.0.2.1:53');
    await userEvent.type(screen.getByLabelText(/^Key/), 'key "k"');
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: 'Keep an entry there' }));
    expect((await screen.findByRole('alert')).textContent).toBe('This is no key file.');
    await userEvent.click(screen.getByRole('button', { name: 'Keep an entry there' }));
    expect(keepEntry).toHaveBeenLastCalledWith({ domain: 'entry.example', server: '192.0.2.1:53', secret: 'key "k"' });
    expect(await screen.findByText(own_entry.why, { exact: false })).toBeTruthy();
    expect(box.checked).toBe(true);
    expect(screen.queryByLabelText('Your domain')).toBeNull();
    await userEvent.click(box);
    expect(removeEntry).toHaveBeenCalledOnce();
    await waitFor(() => expect(container.textContent).not.toContain(own_entry.why));
    expect(box.checked).toBe(false);
    // What was typed of a key is not there any more.
    await userEvent.click(box);
    expect(screen.getByLabelText<HTMLTextAreaElement>(/^Key/).value).toBe('');
    await expectAccessible(container);
  });

  it('keeps an entry at a dyndns2 service, and stays one that cannot be taken away', async () => {
    const { meeting } = status();
    const own_entry = { domain: 'carol.example', stands: true, why: 'The entry stands.' };
    const keepEntry = vi.fn(async () => ({ ...meeting, own_entry }));
    const removeEntry = () => Promise.reject(new ApiError('refused', 'The disk is full.'));
    await show(StatusPanel, { keepEntry, removeEntry }, {});
    const box = screen.getByRole<HTMLInputElement>('checkbox', { name: 'Be an entry point' });
    await userEvent.click(box);
    await userEvent.click(screen.getByRole('radio', { name: 'a dyndns2 service' }));
    await userEvent.type(screen.getByLabelText('Your domain'), 'carol.example');
    await userEvent.type(screen.getByLabelText('Its address'), 'https://dyn.example');
    await userEvent.type(screen.getByLabelText('User name'), 'carol');
    await userEvent.type(screen.getByLabelText('Password'), 'secret{Enter}');
    const wish = { domain: 'carol.example', dyndns: 'https://dyn.example', user: 'carol', secret: 'secret' };
    expect(keepEntry).toHaveBeenCalledExactlyOnceWith(wish);
    await screen.findByText('The entry stands.', { exact: false });
    await userEvent.click(box);
    expect((await screen.findByRole('alert')).textContent).toBe('The disk is full.');
    expect(box.checked).toBe(true);
  });

  it('switches the local network on and says what that shows', async () => {
    const lan = { on: true, why: 'Everybody near can see it.' };
    const editNode = vi.fn(async () => status({ meeting: { ...status().meeting, lan } }));
    const { container } = await show(StatusPanel, { editNode }, {});
    const box = screen.getByLabelText(/Find nodes in the local network/);
    await userEvent.click(box);
    expect(editNode).toHaveBeenCalledWith({ lan: true });
    expect(container.textContent).toContain('Everybody near can see it.');
    expect((box as HTMLInputElement).checked).toBe(true);
  });

  it('switches the local network off, and back on where the node refuses that', async () => {
    const { meeting } = status();
    const on = status({ meeting: { ...meeting, lan: { on: true, why: 'On: everybody near can see it.' } } });
    const editNode = vi.fn(async () => status());
    editNode.mockRejectedValueOnce(new ApiError('refused', 'The disk is full.'));
    const { container } = await show(StatusPanel, { status: async () => on, editNode }, {});
    const box = screen.getByRole<HTMLInputElement>('checkbox', {
      name: 'Find nodes in the local network',
      description: 'On: everybody near can see it.',
    });
    await userEvent.click(box);
    expect((await screen.findByRole('alert')).textContent).toBe('The disk is full.');
    expect(box.checked).toBe(true);
    await userEvent.click(box);
    expect(editNode).toHaveBeenLastCalledWith({ lan: false });
    await waitFor(() => expect(box.checked).toBe(false));
    expect(screen.queryByRole('alert')).toBeNull();
    await expectAccessible(container);
  });

  it('uses no relays of others when told so, and says what that means', async () => {
    const relays = { allowed: false, through: [], known: 2, why: 'Refused: whoever cannot reach this node directly does not.' };
    const editNode = vi.fn(async () => status({ relays }));
    const { container } = await show(StatusPanel, { editNode }, {});
    const box = screen.getByRole<HTMLInputElement>('checkbox', {
      name: /Use relays/,
      description: 'Others reach this node through a relay.',
    });
    await userEvent.click(box);
    expect(editNode).toHaveBeenCalledWith({ use_relays: false });
    await waitFor(() => expect(container.textContent).toContain(relays.why));
    expect(box.checked).toBe(false);
  });

  it('shows the path of each session', async () => {
    const session = { peer: 'p', contact: 'Bob', name: BOB, path: 'lan' as const, rtt_ms: 3, since: 0 };
    const { container } = await show(StatusPanel, { status: async () => status({ sessions: [session] }) }, {});
    expect(container.textContent?.replace(/\s+/g, ' ')).toContain('Bob in your local network, 3 ms');
  });

  it('counts one envelope as one', async () => {
    const store = { ...status().store, envelopes: 1 };
    const { container } = await show(StatusPanel, { status: async () => status({ store }) }, {});
    expect(container.textContent).toContain('1 envelope,');
  });

  it('says that the clock of this machine is wrong', async () => {
    const clock = 'The clock of this machine seems to be about 24 hours ahead of those of others.';
    const { container } = await show(StatusPanel, { status: async () => status({ clock }) }, {});
    expect(container.textContent).toContain(clock);
  });

  it('says what to do without peers', async () => {
    const { container } = await show(StatusPanel, { status: async () => status({ peers: [] }) }, {});
    expect(container.textContent).toContain('samizdat up --join');
  });
});
