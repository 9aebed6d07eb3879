/**
 * The network between some of the processes and their servers: two proxies, which cut connections, fall silent, or are slow when they are told.
 */
import { report, runProgram } from '../../../demo/processes/link.ts';
import { isCommit, startTcpProxy, type TcpProxy } from '../../support/faults/tcp-proxy.ts';
import type { NetworkOrder, NetworkSettings } from '../setting.ts';

/** Of the commits that go by. */
const CUT_COMMITS = 0.03;
const SLOW_MS = 60;

await runProgram(async (sent) => {
  const { postgresUrl, redisUrl } = sent as NetworkSettings;
  const [postgres, redis] = await Promise.all([startTcpProxy(postgresUrl), startTcpProxy(redisUrl)]);
  const proxies: readonly TcpProxy[] = [postgres, redis];

  function turn(weather: NetworkOrder['weather']): void {
    for (const proxy of proxies) {
      proxy.judge = () => 'pass';
      proxy.delayMs = weather === 'slow' ? SLOW_MS : 0;
      proxy.lighten();
      if (weather === 'cut') proxy.cutAll();
      if (weather === 'silent') proxy.blackOut();
    }
    if (weather !== 'commits') return;
    postgres.judge = (bytes) => {
      if (!isCommit(bytes) || Math.random() >= CUT_COMMITS) return 'pass';
      report({ kind: 'count', what: 'commits cut', by: 1 });
      return Math.random() < 0.5 ? 'before' : 'after';
    };
  }

  return {
    async start() {
      report({ kind: 'told', said: { kind: 'network', postgresUrl: postgres.url, redisUrl: redis.url } });
    },
    async stop() {},
    close: async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))),
    hear(message) {
      const { kind, weather } = message as NetworkOrder;
      if (kind === 'network') turn(weather);
    },
  };
});
