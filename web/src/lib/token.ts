const KEY = 'samizdat-token';

/**
 * The token of the node: from the link's fragment, which is then cleared from the address bar and the history entry,
 * or from an earlier load of this tab.
 */
export function takeToken(place: Location, history: History, storage: Storage): string | null {
  const given = new URLSearchParams(place.hash.slice(1)).get('token');
  if (given) {
    storage.setItem(KEY, given);
    history.replaceState(null, '', place.pathname + place.search);
  }
  return storage.getItem(KEY);
}

/** Forgets a token that the node no longer accepts. */
export function forgetToken(storage: Storage): void {
  storage.removeItem(KEY);
}
