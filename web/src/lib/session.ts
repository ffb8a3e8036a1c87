import { createContext } from 'svelte';
import type { Api } from './api';
import type { Mirror } from './node.svelte';
import type { View } from './view.svelte';

/** What the panes and dialogs share. */
export interface Session {
  api: Api;
  node: Mirror;
  view: View;
}

export const [session, provideSession] = createContext<Session>();
