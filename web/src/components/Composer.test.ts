import { render, screen } from '@testing-library/svelte';
import { userEvent } from '@testing-library/user-event';
import { describe, expect, it, vi } from 'vitest';
import { expectAccessible } from '../testing/fixtures';
import Composer from './Composer.svelte';

function show(unavailable: string | null = null, hint: string | null = null) {
  const onsend = vi.fn();
  const { container } = render(Composer, { draft: '', to: 'Bob', unavailable, hint, onsend });
  const field = screen.getByRole<HTMLTextAreaElement>('textbox', { name: 'Message to Bob' });
  return { container, onsend, field };
}

describe('the composer', () => {
  it('sends with Enter and empties itself', async () => {
    const { onsend, field } = show();
    await userEvent.type(field, '  hello {Enter}');
    expect(onsend).toHaveBeenCalledExactlyOnceWith('hello');
    expect(field.value).toBe('');
    expect(document.activeElement).toBe(field);
  });

  it('begins a new line with Shift+Enter', async () => {
    const { onsend, field } = show();
    await userEvent.type(field, 'one{Shift>}{Enter}{/Shift}two');
    expect(onsend).not.toHaveBeenCalled();
    expect(field.value).toBe('one\ntwo');
  });

  it('leaves the Enter of an input method alone', async () => {
    const { onsend, field } = show();
    await userEvent.type(field, 'に');
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, cancelable: true }));
    expect(onsend).not.toHaveBeenCalled();
  });

  it('sends nothing blank', async () => {
    const { onsend, field } = show();
    await userEvent.type(field, '   {Enter}');
    expect(onsend).not.toHaveBeenCalled();
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Send' }).disabled).toBe(true);
  });

  it('says why it cannot send, and keeps the text', async () => {
    const { container, onsend, field } = show('Your node is not reachable.');
    await userEvent.type(field, 'kept{Enter}');
    expect(onsend).not.toHaveBeenCalled();
    expect(field.value).toBe('kept');
    const note = document.getElementById(field.getAttribute('aria-describedby') ?? '');
    expect(note?.textContent).toBe('Your node is not reachable.');
    await expectAccessible(container);
  });
});
