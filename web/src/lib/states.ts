import { about } from './format';
import type { Message, Stamping } from './shapes';

export type MarkIcon = 'clock' | 'stamp' | 'check' | 'checks' | 'checks-read' | 'cross' | 'warning';

/** How a message of ours stands. */
export interface Mark {
  icon: MarkIcon;
  /** One or two words. */
  word: string;
  /** One sentence. */
  means: string;
}

export interface Surroundings {
  /** How many nodes we are connected to. */
  peers: number;
  /** The reader's keys have been seen; always true in rooms. */
  known: boolean;
  /** The reader, or null in rooms. */
  reader: string | null;
  stamping: Stamping | undefined;
}

export function mark(message: Message, around: Surroundings): Mark {
  const reader = around.reader ?? 'Somebody';
  const direct = message.path === 'direct';
  switch (message.state) {
    case 'waiting':
      return { icon: 'clock', word: 'Waiting', means: waitsFor(around) };
    case 'stamping': {
      const eta = around.stamping?.eta_s ?? null;
      const left = eta === null ? '' : `, ${about(eta)} left`;
      const means = direct
        ? `${reader}'s node took it over the connection between you; the copy for all nodes gets its stamp.`
        : 'Your computer is working on the stamp that keeps spam away.';
      return { icon: 'stamp', word: `Stamping${left}`, means };
    }
    case 'stamped':
      return { icon: 'stamp', word: 'Stamped', means: 'Ready in your node; no other node has it yet.' };
    case 'published':
      return { icon: 'check', word: 'Published', means: 'Another node has stored it.' };
    case 'received': {
      const { delivery } = message;
      if (delivery) return { icon: 'checks', word: 'Received', means: `${delivery.to} of ${delivery.of} members have it.` };
      return { icon: 'checks', word: 'Received', means: direct ? `${reader}'s node took it over the connection between you.` : `${reader}'s node has it.` };
    }
    case 'read':
      return { icon: 'checks-read', word: 'Read', means: `${reader} has read it.` };
    case 'cancelled':
      return { icon: 'cross', word: 'Cancelled', means: 'Nobody got it.' };
    case 'failed':
      // When it is sent would tell who comes from a part of the cluster that was apart.
      if (message.anonymous) return { icon: 'warning', word: 'Failed', means: 'Not all members can get it, and it is not sent again by itself.' };
      return { icon: 'warning', word: 'Failed', means: 'Your node could not send it.' };
  }
}

/** Only what is not stamped yet can be taken back, and nobody took yet. */
export function canCancel(message: Message): boolean {
  return message.mine && message.path !== 'direct' && (message.state === 'waiting' || message.state === 'stamping');
}

/** Whether the text can be written once more. What was for one member cannot: from here it would go to all. */
export function canRewrite(message: Message): boolean {
  return message.mine && !message.to_member && (message.state === 'cancelled' || message.state === 'failed');
}

function waitsFor({ peers, known, reader }: Surroundings): string {
  if (peers === 0) return 'Waits for a connection to another node.';
  if (!known && reader) return `Waits until ${reader}'s keys arrive; they come when ${reader} is online.`;
  return 'Waits for its turn.';
}
