import { render, screen } from '@testing-library/svelte';
import { userEvent } from '@testing-library/user-event';
import { describe, expect, it, vi } from 'vitest';
import { mark } from '../lib/states';
import { expectAccessible, message } from '../testing/fixtures';
import Bubble from './Bubble.svelte';

function show(over: Parameters<typeof message>[0] = {}, spellOut = false) {
  const given = message(over);
  const around = { peers: 1, known: true, reader: 'Bob', stamping: undefined };
  const calls = { oncancel: vi.fn(), onrewrite: vi.fn(), onauthor: vi.fn(), onreceipts: vi.fn(() => Promise.resolve([{ member: 'b', nick: 'Bob', at: 0, read: null }])) };
  const { container } = render(Bubble, {
    message: given,
    first: true,
    last: true,
    author: null,
    stranger: false,
    rewriter: false,
    mark: given.mine ? mark(given, around) : null,
    spellOut,
    ...calls,
  });
  return { container, ...calls };
}

describe('a message', () => {
  it('is text, whatever it says', () => {
    const text = '<img src=x onerror="alert(1)"> **bold** <script>alert(2)</script>';
    const { container } = show({ text });
    expect(screen.getByText(text)).toBeTruthy();
    expect(container.querySelector('img, script')).toBeNull();
  });

  it('keeps its lines and finds its own direction', () => {
    show({ text: 'first\nsecond' });
    const text = screen.getByText(/first/);
    expect(text.textContent).toBe('first\nsecond');
    expect(text.getAttribute('dir')).toBe('auto');
  });

  it('says its state to those who do not see the mark', () => {
    show({ mine: true, state: 'received' });
    expect(screen.getByText("Received. Bob's node has it.")).toBeTruthy();
  });

  it('shows in a cluster how many have it and, when asked by key, who', async () => {
    const { onreceipts, container } = show({ mine: true, state: 'received', delivery: { to: 1, of: 3 } });
    await userEvent.tab();
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Received. 1 of 3 members have it. Show who', expanded: false }));
    await userEvent.keyboard('{Enter}');
    expect(onreceipts).toHaveBeenCalledOnce();
    expect((await screen.findByText(/Has it:/)).textContent).toMatch(/Has it:\s+Bob/);
    const list = document.createElement('ul');
    list.append(...container.querySelectorAll('li'));
    container.append(list);
    await expectAccessible(container);
    await userEvent.click(screen.getByRole('button', { name: /Hide who/, expanded: true }));
    expect(screen.queryByText(/Has it:/)).toBeNull();
  });

  it('says who alone can read it', () => {
    show({ mine: true, to_member: 'Bob' });
    expect(screen.getByText('only to Bob')).toBeTruthy();
    show({ to_member: 'alice' });
    expect(screen.getByText('only to you')).toBeTruthy();
  });

  it('says of mine without a name how it looks to others', () => {
    show({ mine: true, from: '', anonymous: { ring: 7, label: 'Nobody can tell.' } });
    expect(screen.getByText('as some member (1 of 7)').title).toBe('Nobody can tell.');
  });

  it('can be cancelled while it waits', async () => {
    const { oncancel } = show({ mine: true, state: 'waiting' });
    await userEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(oncancel).toHaveBeenCalledOnce();
  });

  it('can be written again when it failed', async () => {
    const { onrewrite, container } = show({ mine: true, state: 'failed' });
    await userEvent.click(screen.getByRole('button', { name: 'Write again' }));
    expect(onrewrite).toHaveBeenCalledOnce();
    const list = document.createElement('ul');
    list.append(...container.querySelectorAll('li'));
    container.append(list);
    await expectAccessible(container);
  });

  it('offers nothing once it is out', () => {
    show({ mine: true, state: 'published' }, true);
    expect(screen.queryByRole('button')).toBeNull();
    expect(screen.getByText(/^Published\s+[^.]/)).toBeTruthy();
  });
});
