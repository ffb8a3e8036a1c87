import { called } from './names';
import type { Cluster, Contact, ContactRequest, Conversation, Message, Room } from './shapes';

/** One row of the list: a conversation, or a contact or room in which nothing was said yet. */
export interface Chat {
  /** `direct:NAME`, `room:NAME` or `cluster:NUMBER`: stays when the node makes the conversation. */
  key: string;
  kind: Conversation['kind'];
  /** Name of the contact or the room, number of the membership. */
  who: string;
  title: string;
  /** Null until the node has a conversation for it. */
  conversation: string | null;
  last: Message | null;
  unread: number;
  label: string;
  contact: Contact | null;
  room: Room | null;
  cluster: Cluster | null;
}

export const chatKey = (kind: Conversation['kind'], who: string): string => `${kind}:${who}`;

/** The rows, in the node's order: what came last first, whatever its author claims. Who has an open request is not among them: that is answered first. */
export function chats(
  conversations: Conversation[],
  contacts: Contact[],
  rooms: Room[],
  requests: ContactRequest[],
  clusters: Cluster[] = [],
): Chat[] {
  const asking = new Set(requests.map((request) => request.name));
  const rows = new Map<string, Chat>();
  for (const { id, kind, who: named, title, last, unread, label } of conversations) {
    if (kind === 'direct' && asking.has(named)) continue;
    // Two clusters may bear one name.
    const cluster = clusters.find(({ conversation }) => kind === 'cluster' && conversation === id) ?? null;
    if (kind === 'cluster' && !cluster) continue;
    const who = cluster?.cluster ?? named;
    const key = chatKey(kind, who);
    rows.set(key, { key, kind, who, title, conversation: id, last, unread, label, contact: null, room: null, cluster });
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

function empty(kind: Conversation['kind'], who: string, title: string): Chat {
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
    cluster: null,
  };
}

/** Why nothing can be written here now, or null. */
export function closedBecause(chat: Chat): string | null {
  if (chat.contact?.state === 'blocked') return `You have blocked ${chat.title}. Unblock to write again.`;
  if (chat.kind === 'room' && chat.room && !chat.room.joined) return 'Join this room to write in it.';
  if (chat.cluster?.standing === 'left') return 'You have left this cluster.';
  if (chat.cluster?.standing === 'removed') return 'The members have removed you from this cluster.';
  if (chat.cluster?.standing === 'away') return 'You were away for too long: wait until a member has let you back in.';
  return null;
}
