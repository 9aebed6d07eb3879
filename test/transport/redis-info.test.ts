import { describe, expect, it } from 'vitest';
import { evictionWarning, isClusterNode } from '../../src/transport/redis/redis-info.ts';

const REDIS_7 = '# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\n\r\n# Cluster\r\ncluster_enabled:1\r\n';
const VALKEY_8 =
  '# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nserver_mode:cluster\r\n\r\n# Cluster\r\ncluster_enabled:1\r\n';

describe('what a server of Redis says of itself', () => {
  it('tells a node of a cluster, of Redis and of Valkey, from a single server and from one that says nothing', () => {
    expect([REDIS_7, VALKEY_8].map(isClusterNode)).toEqual([true, true]);
    const single = VALKEY_8.replace('mode:cluster', 'mode:standalone').replace('enabled:1', 'enabled:0');
    expect([single, ''].map(isClusterNode)).toEqual([false, false]);
  });

  it('warns of a server that drops what it holds', () => {
    expect(evictionWarning('maxmemory_policy:allkeys-lru\r\n', 'messages')?.what).toContain('allkeys-lru');
    expect(evictionWarning('maxmemory_policy:noeviction\r\n', 'messages')).toBeUndefined();
    expect(evictionWarning('', 'messages')).toBeUndefined();
  });
});
