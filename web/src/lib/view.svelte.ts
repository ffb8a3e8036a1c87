import { sentence } from './api';
import { Drafts } from './drafts';

export type Pane = { at: 'start' } | { at: 'chat'; key: string } | { at: 'request'; id: string };

export type OpenDialog =
  | { name: 'add'; who?: string }
  | { name: 'invite' }
  | { name: 'join' }
  | { name: 'status' }
  | { name: 'contact'; who: string }
  | { name: 'clusters' }
  | { name: 'cluster'; which: string };

export interface Toast {
  id: number;
  text: string;
  error: boolean;
}

const TOAST_MS = 6000;

/** What this tab shows. Only drafts are kept, in the tab; the pane goes through the tab's history, so "back" works. */
export class View {
  pane = $state.raw<Pane>({ at: 'start' });
  dialog = $state.raw<OpenDialog | null>(null);
  toasts = $state.raw<Toast[]>([]);
  /** What a screen reader says next. */
  announcement = $state('');
  readonly drafts = new Drafts(sessionStorage);
  private lastToast = 0;

  constructor() {
    this.restore(history.state);
    history.replaceState({ pane: this.pane }, '');
  }

  show(pane: Pane): void {
    const forward = this.pane.at === 'start';
    this.pane = pane;
    // From one chat to the next replaces, so that "back" always leads to the list.
    if (forward && pane.at !== 'start') history.pushState({ pane }, '');
    else history.replaceState({ pane }, '');
  }

  back(): void {
    history.back();
  }

  /** The tab went back or forth. */
  restore(state: unknown): void {
    this.dialog = null;
    this.pane = (state as { pane?: Pane } | null)?.pane ?? { at: 'start' };
  }

  say(text: string): void {
    const toast = this.push(text, false);
    setTimeout(() => this.dismiss(toast), TOAST_MS);
  }

  /** An error stays until somebody has seen it. */
  complain(error: unknown): void {
    const text = sentence(error);
    if (!this.toasts.some((toast) => toast.text === text)) this.push(text, true);
  }

  dismiss(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  private push(text: string, error: boolean): number {
    this.lastToast += 1;
    this.toasts = [...this.toasts.slice(-3), { id: this.lastToast, text, error }];
    return this.lastToast;
  }
}
