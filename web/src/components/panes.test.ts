import { cleanup, render, screen, waitFor } from '@testing-library/svelte';
import { userEvent } from '@testing-library/user-event';
import { createRawSnippet, type Component } from 'svelte';
import { describe, expect, it, vi } from 'vitest';
import App from '../App.svelte';
import { ApiError, type Api } from '../lib/api';
import type { Chat } from '../lib/chats';
import { BOB, contact, conversation, expectAccessible, fakeSession, message, request, room } from '../testing/fixtures';
import { renderWithin } from '../testing/within';
import Banner from './Banner.svelte';
import ChatPane from './ChatPane.svelte';
import Guarded from './Guarded.svelte';
import RequestPane from './RequestPane.svelte';
import Sidebar from './Sidebar.svelte';
import Start from './Start.svelte';

async function show<P extends Record<string, unknown>>(of: Component<P>, api: Partial<Api>, given: P) {
  const session = fakeSession(api);
  await session.node.reload(undefined);
  return { session, container: renderWithin(session, of, given) };
}

describe('the list', () => {
  const lists: Partial<Api> = {
    requests: async () => [request({ name: 'stranger' })],
    conversations: async () => [conversation({ unread: 2, last: message({ text: 'last words' }) })],
    rooms: async () => [room()],
  };

  it('has requests on top, with their count, then chats and rooms', async () => {
    const { container } = await show(Sidebar, lists, {});
    const titles = screen.getAllByRole('heading').map((heading) => heading.textContent?.trim());
    expect(titles).toEqual(['Requests 1', 'Chats', 'Rooms']);
    expect(screen.getByRole('button', { name: /Bob.*last words.*2 unread/s })).toBeTruthy();
    await expectAccessible(container);
  });

  it('is walked with the arrow keys and opened with Enter', async () => {
    const { session } = await show(Sidebar, lists, {});
    screen.getByRole('button', { name: /stranger/ }).focus();
    await userEvent.keyboard('{ArrowDown}{ArrowDown}{ArrowDown}');
    expect(document.activeElement?.textContent).toContain('lobby');
    await userEvent.keyboard('{Home}{ArrowDown}{Enter}');
    expect(session.view.pane).toEqual({ at: 'chat', key: `direct:${BOB}` });
  });
});

describe('a request', () => {
  it('is accepted under a name of my choice', async () => {
    const answer = vi.fn(async () => request());
    const changeContact = vi.fn(async () => contact());
    const { session, container } = await show(RequestPane, { answer, changeContact }, { request: request() });
    expect(screen.getByText('May I write to you?')).toBeTruthy();
    await expectAccessible(container);
    await userEvent.type(screen.getByLabelText(/What you will call them/), 'Bob');
    await userEvent.click(screen.getByRole('button', { name: 'Accept' }));
    expect(answer).toHaveBeenCalledWith('r1', 'accept');
    expect(changeContact).toHaveBeenCalledWith(BOB, { petname: 'Bob' });
    await waitFor(() => expect(session.view.pane).toEqual({ at: 'chat', key: `direct:${BOB}` }));
  });

  it.each(['Decline', 'Block'])('can be answered with %s', async (verb) => {
    const answer = vi.fn(async () => request());
    const { session } = await show(RequestPane, { answer }, { request: request({ invited: true }) });
    expect(screen.getByText('They opened one of your invite links.')).toBeTruthy();
    await userEvent.click(screen.getByRole('button', { name: verb }));
    expect(answer).toHaveBeenCalledWith('r1', verb.toLowerCase());
    await waitFor(() => expect(session.view.toasts).toHaveLength(1));
  });
});

describe('a conversation', () => {
  async function bob(api: Partial<Api>) {
    const session = fakeSession({ conversations: async () => [conversation({ unread: 1 })], contacts: async () => [contact()], ...api });
    await session.node.reload(undefined);
    const chat = session.node.chats[0] as Chat;
    return { session, container: renderWithin(session, ChatPane, { chat }) };
  }

  it('shows who it is with, what is visible to whom, and what was said', async () => {
    const markRead = vi.fn(async () => ({}));
    const { container } = await bob({ messages: async () => [message()], markRead });
    expect(await screen.findByText('hello')).toBeTruthy();
    expect(screen.getByRole('heading', { name: 'Bob' })).toBeTruthy();
    expect(screen.getByText('bbcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567-abcd-ef')).toBeTruthy();
    expect(screen.getByText('Only Bob can read this.')).toBeTruthy();
    expect(screen.getByText('New')).toBeTruthy();
    expect(markRead).toHaveBeenCalledExactlyOnceWith('c1', undefined);
    await expectAccessible(container);
  });

  it('gives the text back when it could not be sent', async () => {
    const { session } = await bob({ send: () => Promise.reject(new ApiError('refused', 'Too long.')) });
    const field = screen.getByRole<HTMLTextAreaElement>('textbox');
    await userEvent.type(field, 'precious{Enter}');
    await waitFor(() => expect(field.value).toBe('precious'));
    expect(session.view.toasts).toMatchObject([{ text: 'Too long.', error: true }]);
  });

  it('keeps what was being written when the node is started anew and the page goes', async () => {
    await bob({});
    await userEvent.type(screen.getByRole('textbox'), 'half a thought');
    cleanup();
    render(App, { token: null });
    expect(screen.getByText(/What you wrote and did not send is kept in this tab/)).toBeTruthy();
    cleanup();
    // A new link in the same tab is a new page.
    await bob({ send: async () => message({ mine: true }) });
    const field = screen.getByRole<HTMLTextAreaElement>('textbox');
    expect(field.value).toBe('half a thought');
    await userEvent.type(field, '{Enter}');
    expect(sessionStorage).toHaveLength(0);
  });

  it('is closed with a reason when the contact is blocked', async () => {
    await bob({ contacts: async () => [contact({ state: 'blocked' })] });
    expect(screen.getByText(/You have blocked Bob/)).toBeTruthy();
    expect(screen.queryByRole('textbox')).toBeNull();
  });
});

describe('the first start', () => {
  it('offers the three ways to a first message', async () => {
    const { session, container } = await show(Start, { rooms: async () => [room()] }, { fresh: true });
    await userEvent.click(screen.getByRole('button', { name: /Show my invite link/ }));
    expect(session.view.dialog).toEqual({ name: 'invite' });
    await userEvent.click(screen.getByRole('button', { name: /Add a contact/ }));
    expect(session.view.dialog).toEqual({ name: 'add' });
    await userEvent.click(screen.getByRole('button', { name: /Write in lobby/ }));
    expect(session.view.pane).toEqual({ at: 'chat', key: 'room:lobby' });
    await expectAccessible(container);
  });
});

describe('the page itself', () => {
  it('says so when a pane cannot be shown, and tries again when asked', async () => {
    const noted = vi.spyOn(console, 'error').mockImplementation(() => {});
    let broken = true;
    const children = createRawSnippet(() => ({
      render: () => {
        if (broken) throw new RangeError('Invalid time value');
        return '<p>the pane</p>';
      },
    }));
    const { container } = render(Guarded, { what: 'This conversation', children });
    expect(screen.getByRole('alert').textContent).toContain('This conversation cannot be shown');
    await expectAccessible(container);
    broken = false;
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(screen.getByText('the pane')).toBeTruthy();
    expect(noted).toHaveBeenCalledOnce();
    noted.mockRestore();
  });

  it('explains how to open it when it has no token', async () => {
    const { container } = render(App, { token: null });
    expect(screen.getByText('samizdat', { selector: 'code' })).toBeTruthy();
    await expectAccessible(container);
  });

  it('says that the node is away and tries again when asked', async () => {
    const onretry = vi.fn();
    render(Banner, { link: { state: 'down', retryAt: Date.now() + 4000 }, onretry });
    expect(screen.getByRole('alert').textContent).toBe('The connection to your node is lost.');
    await userEvent.click(screen.getByRole('button', { name: 'Try now' }));
    expect(onretry).toHaveBeenCalledOnce();
  });
});
