import { SvelteMap } from 'svelte/reactivity';

const PREFIX = 'samizdat-draft ';

/** What was written and not sent, by conversation. It outlives the page, which goes when the node is started anew. */
export class Drafts {
  private readonly drafts = new SvelteMap<string, string>();

  constructor(private readonly storage: Storage) {
    for (const name of Object.keys(storage)) {
      if (name.startsWith(PREFIX)) this.drafts.set(name.slice(PREFIX.length), storage.getItem(name) ?? '');
    }
  }

  get(chat: string): string {
    return this.drafts.get(chat) ?? '';
  }

  set(chat: string, text: string): void {
    this.drafts.set(chat, text);
    try {
      if (text) this.storage.setItem(PREFIX + chat, text);
      else this.storage.removeItem(PREFIX + chat);
    } catch {
      // A full storage: the draft lives as long as the page.
    }
  }
}

/** Whether this tab keeps something that was not sent. */
export const hasDrafts = (storage: Storage): boolean => Object.keys(storage).some((name) => name.startsWith(PREFIX));
