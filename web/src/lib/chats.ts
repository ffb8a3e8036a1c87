import { called } from './names';
import type { Contact, ContactRequest, Conversation, Message, Room } from './shapes';

/** One row of the list: a conversation, or a contact or room in which nothing was said yet. */
export interface Chat {
  /** `direct:NAME` or `room:NAME`: stays when the node makes the conversation. */
  key: string;
  kind: 'direct' | 'room';
  who: string;
  title: string;
  /** Null until the node has a conversation for it. */
  conversation: string | null;
  last: Message | null;
  unread: number;
  label: string;
  contact: Contact | null;
  room: Room | null;
}

export const chatKey = (kind: 'direct' | 'room', who: string): string => `${kind}:${who}`;

/** The rows, in the node's order: what came last first, whatever its author claims. Who has an open request is not among them: that is answered first. */
export function chats(
  conversations: Conversation[],
  contacts: Contact[],
  rooms: Room[],
  requests: ContactRequest[],
): Chat[] {
  const asking = new Set(requests.map((request) => request.name));
  const rows = new Map<string, Chat>();
  for (const { id, kind, who, title, last, unread, label } of conversations) {
    if (kind === 'direct' && asking.has(who)) continue;
    const key = chatKey(kind, who);
    rows.set(key, { key, kind, who, title, conversation: id, last, unread, label, contact: null, room: null });
  }
  for (const contact of contacts) {
    if (asking.has(contact.name)) continue;
    const row = rows.get(chatKey('direct', contact.name));
    if (row) row.contact = contact;
    else if (contact.state !== 'blocked') {
      const silent = empty('direct', contact.name, called(contact.name, contact.petname));
      rows.set(silent.key, { ...silent, contact });
    }
  }
  for (const room of rooms) {
    const row = rows.get(chatKey('room', room.room));
    if (row) row.room = room;
    else if (room.joined) {
      const silent = empty('room', room.room, room.room);
      rows.set(silent.key, { ...silent, room });
    }
  }
  return [...rows.values()];
}

function empty(kind: 'direct' | 'room', who: string, title: string): Chat {
  return {
    key: chatKey(kind, who),
    kind,
    who,
    title,
    conversation: null,
    last: null,
    unread: 0,
    label: '',
    contact: null,
    room: null,
  };
}

/** Why nothing can be written here now, or null. */
export function closedBecause(chat: Chat): string | null {
  if (chat.contact?.state === 'blocked') return `You have blocked ${chat.title}. Unblock to write again.`;
  if (chat.kind === 'room' && chat.room && !chat.room.joined) return 'Join this room to write in it.';
  return null;
}
