/**
 * A stand-in for what an OpenTelemetry SDK registers.
 * CompensatedCall it with `context.disable()`.
 */
import { context, type Context, type ContextManager } from '@opentelemetry/api';

/** What an SDK registers, as far as it matters here: something that remembers the active context. */
export function registerContext(active: Context): void {
  const manager: ContextManager = {
    active: () => active,
    with: (_, fn, self, ...args) => fn.call(self as ThisParameterType<typeof fn>, ...args),
    bind: (_, target) => target,
    enable: () => manager,
    disable: () => manager,
  };
  context.setGlobalContextManager(manager);
}
