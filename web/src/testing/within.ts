import { render } from '@testing-library/svelte';
import type { Component } from 'svelte';
import type { Session } from '../lib/session';
import Within from './Within.svelte';

/** Renders a component inside a session, as the shell would. */
export function renderWithin<P extends Record<string, unknown>>(session: Session, of: Component<P>, given: P): HTMLElement {
  return render(Within as unknown as Component<Record<string, unknown>>, { session, of, given }).container;
}
