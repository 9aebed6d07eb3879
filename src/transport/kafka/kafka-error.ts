/**
 * What an error of Kafka is about: one message, one topic, or the cluster. Pure.
 */

export type KafkaFault =
  /** It can never be stored: too large, or not as it must be. */
  | 'message'
  /** Nothing can be stored in this topic as it is: it is not there, or may not be written. A person mends it. */
  | 'topic'
  | 'cluster';

/** MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD */
const MESSAGE: ReadonlySet<number> = new Set([10, 18, 32, 87]);
/** UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED, POLICY_VIOLATION */
const TOPIC: ReadonlySet<number> = new Set([3, 17, 29, 44]);

/** A code that kafkajs does not know, or none, is the cluster's. */
export function faultOf(error: unknown): KafkaFault {
  const code = protocolCode(error);
  if (code === null) return 'cluster';
  if (MESSAGE.has(code)) return 'message';
  return TOPIC.has(code) ? 'topic' : 'cluster';
}

/** The number that the broker answered with: kafkajs wraps the error that has it in those of its retries. */
export function protocolCode(error: unknown): number | null {
  let each: unknown = error;
  for (let depth = 0; depth < 8 && each instanceof Error; depth += 1) {
    const { code, cause, originalError } = each as Error & {
      readonly code?: unknown;
      readonly originalError?: unknown;
    };
    if (typeof code === 'number' && code > 0) return code;
    each = originalError ?? cause;
  }
  return null;
}
