/**
 * By how many partitions a destination is spread, written in the broker, so that processes that were told different numbers find out.
 *
 * The number stands in the arguments of an exchange that nobody publishes to. RabbitMQ lets nobody read arguments, but refuses to declare the
 * exchange with others, and says then which it has. That refusal stands in its log as an error; so does every look for a queue that is not
 * there, which is why nobody looks for partitions in that way.
 */
import { HoldfastError } from '../../errors.ts';
import { brokerFault, saidOf } from './broker-answers.ts';
import { exchange, openChannel, type RabbitmqConnection } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';

export interface PartitionNumbers {
  /** By how many messages are spread now. */
  readonly partitions: number;
  /** The most there ever were: what lies beyond the present number may still hold something. */
  readonly widest: number;
}

export interface RegisterOptions {
  readonly connection: RabbitmqConnection;
  readonly settings: RabbitmqSettings;
  readonly destination: string;
}

/**
 * Whether anything is written. It is written once the queues of a destination are made and take messages; RabbitMQ says of a queue that another
 * process is just making that it is there, and then refuses what is published to it, and ends the connection of whoever would consume it.
 */
export async function hasRegister(options: RegisterOptions): Promise<boolean> {
  const { connection, settings } = options;
  const channel = await openChannel(connection, settings.publishTimeoutMs);
  try {
    await exchange(connection, channel.checkExchange(nameOf(options)), settings.publishTimeoutMs);
    return true;
  } catch (error) {
    if (brokerFault(error).kind === 'missing') return false;
    throw error;
  } finally {
    channel.close().catch(() => {});
  }
}

/** What is written, which is `guess` where nothing was. A right guess leaves no trace in the broker's log. */
export async function readRegister(options: RegisterOptions, guess: PartitionNumbers): Promise<PartitionNumbers> {
  const { connection, settings } = options;
  const { publishTimeoutMs } = settings;
  const name = nameOf(options);
  const channel = await openChannel(connection, publishTimeoutMs);
  try {
    const alternateExchange = `${name}=${guess.partitions}/${guess.widest}`;
    const declared = channel.assertExchange(name, 'fanout', { durable: true, alternateExchange });
    await exchange(connection, declared, publishTimeoutMs);
    return guess;
  } catch (error) {
    const [, partitions, widest] = /current is .*:partitions=(\d+)\/(\d+)/.exec(saidOf(error)) ?? [];
    if (partitions !== undefined) return { partitions: Number(partitions), widest: Number(widest) };
    if (brokerFault(error).kind === 'other') throw error;
    throw new HoldfastError('HF_CONFIG', `The exchange ${name} cannot be used: ${saidOf(error)}.`, {
      advice:
        'Grant the user what docs/transports.md lists. With declare: false it is not used, and no number of partitions is to be changed while messages wait.',
      cause: error,
    });
  } finally {
    channel.close().catch(() => {});
  }
}

/** Writes other numbers in the place of those that are there. Gives what is there then, which may be somebody else's. */
export async function replaceRegister(options: RegisterOptions, numbers: PartitionNumbers): Promise<PartitionNumbers> {
  const { connection, settings } = options;
  const { publishTimeoutMs } = settings;
  const channel = await openChannel(connection, publishTimeoutMs);
  try {
    await exchange(connection, channel.deleteExchange(nameOf(options)), publishTimeoutMs);
  } finally {
    channel.close().catch(() => {});
  }
  return readRegister(options, numbers);
}

function nameOf({ settings, destination }: RegisterOptions): string {
  return `${settings.prefix}${destination}:partitions`;
}
