/**
 * What a server of Redis says of itself (INFO). Pure.
 */

/** The value of a field; undefined where INFO does not have it. */
export function infoValue(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1];
}

/** Whether it is a node of a cluster. `redis_mode` would say so too, but Valkey does not have it. */
export function isClusterNode(info: string): boolean {
  return infoValue(info, 'cluster_enabled') === '1';
}

/**
 * Why what lies there is not safe when memory is full; undefined where it is, or where nothing is known.
 *
 * @param lost what Redis deletes then
 */
export function evictionWarning(
  info: string,
  lost: string,
): { readonly what: string; readonly advice: string } | undefined {
  const policy = infoValue(info, 'maxmemory_policy') ?? 'noeviction';
  if (policy === 'noeviction') return undefined;
  return {
    what: `Redis has maxmemory-policy ${policy}: when memory is full it silently deletes ${lost}.`,
    advice: 'Set maxmemory-policy noeviction.',
  };
}
