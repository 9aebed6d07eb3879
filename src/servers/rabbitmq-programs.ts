/**
 * Finds the programs of RabbitMQ and Erlang on this machine; as root on Debian and its kin, installs them.
 */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { aptIsOurs, installByApt } from './debian-packages.ts';

export interface RabbitmqPrograms {
  readonly server: string;
  readonly ctl: string;
  readonly epmd: string;
}

/** Debian's own scripts come first: those in the path refuse other users than root and rabbitmq. */
const FOLDERS = ['/usr/lib/rabbitmq/bin', '/opt/homebrew/sbin', '/usr/local/sbin'];

/** HF_SERVER_MISSING */
export function rabbitmqPrograms(): RabbitmqPrograms {
  const found = find();
  if (found !== undefined) return found;
  const advice = 'Install RabbitMQ and Erlang (Debian: apt-get install rabbitmq-server).';
  try {
    if (aptIsOurs()) installByApt(['rabbitmq-server']);
  } catch (cause) {
    throw new HoldfastError('HF_SERVER_MISSING', 'RabbitMQ is needed and apt-get could not install it.', {
      cause,
      advice,
    });
  }
  const installed = find();
  if (installed !== undefined) return installed;
  throw new HoldfastError('HF_SERVER_MISSING', 'RabbitMQ is needed and none was found.', { advice });
}

function find(): RabbitmqPrograms | undefined {
  const server = pathOf('rabbitmq-server');
  const ctl = pathOf('rabbitmqctl');
  const epmd = pathOf('epmd');
  return server === undefined || ctl === undefined || epmd === undefined ? undefined : { server, ctl, epmd };
}

function pathOf(name: string): string | undefined {
  const folders = [...FOLDERS, ...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), '/usr/bin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
