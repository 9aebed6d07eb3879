/**
 * Starts a private Redis with replicas, watched by three sentinels, on ports of their own, nothing on disk but what the sentinels write
 * down. A primary that is gone is replaced after about two seconds. Needs a server binary: docker does not do.
 */
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../errors.ts';
import { freePort, temporaryFolder, unprivilegedUser, untilReady } from './machine.ts';
import { redisCommand } from './redis-command.ts';
import { findRedisBinary, type RedisServer, startRedis } from './redis.ts';
import { launch, type ServerProcess } from './server-process.ts';

const NAME = 'holdfast';
const SENTINELS = 3;
const DOWN_AFTER_MS = 1_500;
const READY_WITHIN_MS = 60_000;

/** A private Redis behind Sentinel. Made by {@link startRedisSentinel}. */
export interface RedisSentinel {
  /** `redis+sentinel://…` with all sentinels and the name of the primary. */
  readonly url: string;
  /** The primary first, as it was at the start. */
  readonly servers: readonly RedisServer[];
  /** The port of the primary, as the sentinels say. */
  primary(): Promise<number>;
  dispose(): Promise<void>;
}

/** HF_SERVER_MISSING when there is no server to start. */
export async function startRedisSentinel({
  replicas = 1,
}: { readonly replicas?: number } = {}): Promise<RedisSentinel> {
  const binary = findRedisBinary();
  if (binary === undefined)
    throw new HoldfastError('HF_SERVER_MISSING', 'Sentinel needs redis-server on this machine.', {
      advice: 'Install Redis or Valkey (Debian: apt-get install redis-server, macOS: brew install redis).',
    });
  const servers: RedisServer[] = [];
  const sentinels: ServerProcess[] = [];
  const runAs = unprivilegedUser();
  const folder = temporaryFolder('holdfast-sentinel', runAs);
  const dispose = async (): Promise<void> => {
    await Promise.all([...sentinels.map((one) => one.end('SIGKILL')), ...servers.map((one) => one.dispose())]);
    folder.remove();
  };
  const ports: number[] = [];
  try {
    const quick = ['--repl-diskless-sync-delay', '0'];
    const primary = await startRedis({ args: quick });
    servers.push(primary);
    for (let index = 0; index < replicas; index += 1)
      servers.push(await startRedis({ args: [...quick, '--replicaof', '127.0.0.1', String(primary.port)] }));
    for (let index = 0; index < SENTINELS; index += 1) {
      const port = await freePort();
      const file = join(folder.path, `sentinel-${index}.conf`);
      const lines = [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${folder.path}`,
        `sentinel monitor ${NAME} 127.0.0.1 ${primary.port} 2`,
        `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
        `sentinel failover-timeout ${NAME} 5000`,
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      if (runAs.uid !== undefined) chownSync(file, runAs.uid, runAs.gid);
      const logFile = join(folder.path, `sentinel-${index}.log`);
      sentinels.push(launch({ command: binary, args: [file, '--sentinel'], runAs, logFile, orphanSignal: 'SIGKILL' }));
      ports.push(port);
    }
    await untilReady(async () => (await Promise.all(ports.map((port) => seesAll(port, replicas)))).every(Boolean), {
      timeoutMs: READY_WITHIN_MS,
      what: 'Sentinel',
    });
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    url: `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/${NAME}`,
    servers,
    async primary() {
      const answers = ports.map((port) => redisCommand(port, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME]));
      return Number(/\$\d+\r\n(\d+)$/.exec(await Promise.any(answers))?.[1]);
    },
    dispose,
  };
}

/** Whether a sentinel knows of the others, and of the replicas. */
async function seesAll(port: number, replicas: number): Promise<boolean> {
  try {
    const said = await redisCommand(port, ['INFO', 'sentinel']);
    return said.includes('status=ok') && said.includes(`slaves=${replicas},sentinels=${SENTINELS}`);
  } catch {
    return false;
  }
}
