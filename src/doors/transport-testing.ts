/**
 * `holdfast/transport-testing`: the duties of the transport port as a suite for vitest, to which an adapter of your own can be held. Named
 * exports only.
 */
export { describeTransport } from '../testing/transport/describe-transport.ts';
export { describeSink } from '../testing/transport/describe-sink.ts';
export type { PublisherHarness, SinkHarness, TransportHarness } from '../testing/transport/kit.ts';
