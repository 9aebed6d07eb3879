/**
 * How a destination stands, as NATS tells it, and what people should know about it: that nobody reads it, somebody else does, or two databases
 * do.
 */
import type { ConsumerInfo, StreamInfo } from '@nats-io/jetstream';
import type { QueueRemark, QueueState } from '../port.ts';
import { type DestinationNames, readingOf, tokenOf } from './names.ts';
import type { Notes } from './notes.ts';
import type { NatsSettings } from './options.ts';
import { assessStream, destinationStream, type StreamFaults } from './streams.ts';
import type { ReceiverLink } from './verdicts.ts';

/** Owners look every few seconds; one that has not been seen for this long has moved on. */
const OWNER_FRESH_MS = 60_000;

export interface DestinationFacts {
  readonly destination: string;
  readonly messages: number;
  readonly consumers: readonly Pick<ConsumerInfo, 'name' | 'num_ack_pending' | 'num_waiting' | 'paused'>[];
  /** Databases that were seen to take replies from it lately. */
  readonly owners: readonly string[];
  /** The database that asks, where replies are taken for one. */
  readonly owner: string | null;
  /** What of the stream is not as it was asked for. */
  readonly faults: StreamFaults;
  /** What its messages do not outlive, as a sentence; null: as much as was asked for. */
  readonly risk: string | null;
}

/** Pure. */
export function assessDestination(facts: DestinationFacts): QueueState {
  const { destination, messages, consumers, owners, owner, faults, risk } = facts;
  const ours = consumers.filter(({ name }) => readingOf(name) !== null);
  const foreign = consumers.length - ours.length;
  const sum = (count: (consumer: DestinationFacts['consumers'][number]) => number): number =>
    ours.reduce((total, consumer) => total + count(consumer), 0);
  // NATS does not tell what was put off until later from what is being handled.
  const active = Math.min(
    messages,
    sum(({ num_ack_pending }) => num_ack_pending),
  );
  const waiting = messages - active;
  const paused = ours.some((consumer) => consumer.paused === true);
  const isRead = sum(({ num_waiting }) => num_waiting) > 0 || active > 0;
  const others = owners.filter((other) => other !== (owner ?? owners[0]));
  const remarks: QueueRemark[] = [];
  const remark = (check: QueueRemark['check'], what: string, advice: string): void =>
    void remarks.push({ check, what, advice });
  if (paused)
    remark(
      'queue.paused',
      `A consumer of ${destination} is paused in NATS: it hands out nothing.`,
      'Resume it: nats consumer resume.',
    );
  if (foreign > 0)
    remark(
      'queue.foreign',
      `${foreign} consumers that are not Holdfast's read the stream of ${destination} as well and take messages from it.`,
      'Remove them, or give Holdfast another destination or prefix.',
    );
  if (others.length > 0)
    remark(
      'queue.shared',
      `Workers of another database take replies from the queue ${destination} as well.`,
      'Give the sagas of each database a reply queue and a reply topic of their own.',
    );
  if (waiting > 0 && !isRead)
    remark(
      'queue.unread',
      `${waiting} messages wait in ${destination}, and no consumer asks for them.`,
      'Start the consumer; see that it has the same destination, prefix and servers as the relay.',
    );
  for (const fault of [...faults.unusable, ...faults.different])
    remark(
      'queue.settings',
      `The stream of ${destination} is not as it was asked for: ${fault}.`,
      'Change the stream, or the options of the transport.',
    );
  if (risk !== null)
    remark('queue.durability', risk, 'docs/transports.md says what its messages outlive, and how to change it.');
  return { waiting, active, delayed: 0, failed: 0, paused, consumers: null, foreign, remarks };
}

export interface QueueQuestion {
  readonly settings: NatsSettings;
  readonly owner: string | null;
  /** Where the stream was asked already. */
  readonly info?: StreamInfo;
}

export async function readDestinationState(
  { link, notes }: ReceiverLink,
  names: DestinationNames,
  { settings, owner, info: known }: QueueQuestion,
): Promise<QueueState> {
  const info = known ?? (await link.api.streams.info(names.stream));
  const consumers: ConsumerInfo[] = [];
  for await (const consumer of link.api.consumers.list(names.stream)) consumers.push(consumer);
  if (owner !== null) await notes.write(`owner.${names.token}.${tokenOf(owner)}`, owner);
  return assessDestination({
    destination: names.destination,
    messages: info.state.messages,
    consumers,
    owners: await readOwners(notes, names),
    owner,
    faults: assessStream(destinationStream(names, settings), info.config, link.version),
    risk: riskOf(names.destination, info),
  });
}

async function readOwners(notes: Notes, names: DestinationNames): Promise<readonly string[]> {
  const subjects = await notes.below(`owner.${names.token}`);
  const read = await Promise.all(subjects.map((subject) => notes.read(subject)));
  return read.flatMap((note) =>
    typeof note?.value === 'string' && Date.now() - note.writtenMs < OWNER_FRESH_MS ? [note.value] : [],
  );
}

function riskOf(destination: string, { config, cluster }: Pick<StreamInfo, 'config' | 'cluster'>): string | null {
  if (config.storage === 'memory')
    return `The messages of ${destination} are in memory only, and are lost with the servers that have them.`;
  const isClustered = typeof cluster?.name === 'string' && cluster.name !== '';
  return isClustered && config.num_replicas === 1
    ? `The messages of ${destination} are on one server of the cluster ${cluster.name}, and wait for it when it is gone.`
    : null;
}
