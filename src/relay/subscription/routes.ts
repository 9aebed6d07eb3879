/**
 * Which destinations a message goes to, and what it looks like on the wire. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { encodeWire } from '../../message/envelope.ts';
import type { SigningOptions, SignWire } from '../../message/signing.ts';
import { assertTopicPattern, topicMatches } from '../../message/topic-pattern.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { OutboundMessage } from '../../transport/port.ts';
import type { LogEntry } from '../log/log-reader.ts';

/** Which topics go to which destination. */
export interface Route {
  /** One topic pattern or several: `order.placed`, `order.*` (one segment), `order.**` (any number). */
  readonly topics: string | readonly string[];
  /** The destination: name of a queue. */
  readonly to: string;
  /**
   * Messages name their key's predecessor, so that an `ordered` consumer can hold one back that came too early.
   *
   * @defaultValue false
   */
  readonly ordered?: boolean | undefined;
  /**
   * Signs what goes there with keys of its own, so that who has them writes to no other destination. All routes to it have the same.
   *
   * @defaultValue `signing` of the subscription
   */
  readonly signing?: SigningOptions | undefined;
}

export interface Destination {
  readonly name: string;
  readonly ordered: boolean;
}

export interface Router {
  /** Where a topic goes; empty when no route has it. */
  destinations(topic: string): readonly Destination[];
  /** Whether any destination is ordered. */
  readonly hasOrdered: boolean;
}

/** Throws HF_CONFIG for a route that is not usable. */
export function createRouter(routes: readonly Route[], where: string): Router {
  const rules = routes.map((route, index) => {
    const at = `${where}.routes[${index}]`;
    refuseUnknownOptions(route, ['topics', 'to', 'ordered', 'signing'], at);
    const topics: readonly string[] = typeof route.topics === 'string' ? [route.topics] : route.topics;
    if (topics === undefined || topics.length === 0 || typeof route.to !== 'string' || route.to === '') {
      throw new HoldfastError('HF_CONFIG', `${at} needs 'topics' and 'to'.`, {
        advice: "Write { topics: 'order.*', to: 'shipping' }.",
      });
    }
    for (const topic of topics) assertTopicPattern(topic);
    return { topics, destination: { name: route.to, ordered: route.ordered ?? false } };
  });
  const ordered = new Map(rules.map((rule) => [rule.destination.name, rule.destination.ordered]));
  for (const rule of rules) {
    if (ordered.get(rule.destination.name) !== rule.destination.ordered) {
      throw new HoldfastError('HF_CONFIG', `${where} routes to '${rule.destination.name}' both ordered and not.`, {
        advice: "A destination is ordered or it is not: give all its routes the same 'ordered'.",
      });
    }
  }
  const known = new Map<string, readonly Destination[]>();
  return {
    hasOrdered: rules.some((rule) => rule.destination.ordered),
    destinations(topic) {
      let found = known.get(topic);
      if (found === undefined) {
        const names = new Map<string, Destination>();
        for (const rule of rules) {
          if (rule.topics.some((pattern) => topicMatches(pattern, topic)))
            names.set(rule.destination.name, rule.destination);
        }
        found = [...names.values()];
        // Topics are few; should somebody make them up per message, the memory stays bounded.
        if (known.size >= 10_000) known.clear();
        known.set(topic, found);
      }
      return found;
    },
  };
}

/** The last message that was sent of a key to an ordered destination: the predecessor of the next one. */
export interface KeyHead {
  readonly id: string;
  /** When it was written, RFC 3339. */
  readonly at: string;
  /** When it was sent, RFC 3339; null: not known. */
  readonly sentAt: string | null;
}

export interface OutboundContext {
  readonly source: string;
  readonly replayId?: string | undefined;
  readonly predecessor?: KeyHead | undefined;
  readonly sentAt?: string | null;
  /** Null: it is not signed. */
  readonly signing: { readonly sign: SignWire; readonly nowMs: number } | null;
}

/** An entry that is in memory whole. */
export type LoadedEntry = LogEntry & { readonly payload: string };

export function toOutbound(entry: LoadedEntry, destination: string, context: OutboundContext): OutboundMessage {
  const { predecessor, replayId, source, sentAt, signing } = context;
  const wire = encodeWire(entry, {
    source,
    ...(replayId === undefined ? {} : { replayId }),
    ...(predecessor === undefined ? {} : { predecessor, sentAt }),
  });
  return {
    id: entry.id,
    topic: entry.topic,
    key: entry.key,
    destination,
    wire: signing === null ? wire : signing.sign(wire, { id: entry.id, destination }, signing.nowMs),
    replayId: replayId ?? null,
  };
}
