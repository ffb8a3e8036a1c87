import { SvelteMap } from 'svelte/reactivity';

const PREFIX = 'samizdat-draft ';

export interface Draft {
  text: string;
  /** It is to be sent without a name. Kept with the text, or coming back it would be sent under the name. */
  unsigned: boolean;
  /** In a cluster the only member it is for, or nobody; kept with the text like that. */
  to: string;
}

const NOTHING: Draft = { text: '', unsigned: false, to: '' };

/** What was written and not sent, by conversation. It outlives the page, which goes when the node is started anew. */
export class Drafts {
  private readonly drafts = new SvelteMap<string, Draft>();

  constructor(private readonly storage: Storage) {
    for (const name of names(storage)) this.drafts.set(name.slice(PREFIX.length), stored(storage, name));
  }

  get(chat: string): Draft {
    return this.drafts.get(chat) ?? NOTHING;
  }

  change(chat: string, to: Partial<Draft>): void {
    const draft = { ...this.get(chat), ...to };
    this.drafts.set(chat, draft);
    try {
      if (draft.text || draft.unsigned || draft.to) this.storage.setItem(PREFIX + chat, JSON.stringify(draft));
      else this.storage.removeItem(PREFIX + chat);
    } catch {
      // A full storage: the draft lives as long as the page.
    }
  }
}

/** Whether this tab keeps something that was not sent. */
export const hasDrafts = (storage: Storage): boolean => names(storage).some((name) => stored(storage, name).text !== '');

const names = (storage: Storage): string[] => Object.keys(storage).filter((name) => name.startsWith(PREFIX));

function stored(storage: Storage, name: string): Draft {
  const value = storage.getItem(name) ?? '';
  try {
    const { text, unsigned, to } = JSON.parse(value) as Partial<Draft>;
    if (typeof text === 'string') return { text, unsigned: unsigned === true, to: typeof to === 'string' ? to : '' };
  } catch {
    // The text alone, as an earlier version of this page kept it.
  }
  return { text: value, unsigned: false, to: '' };
}
