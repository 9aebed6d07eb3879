/**
 * How large a message of the log is in memory, said by the database without touching the message.
 */

/**
 * The bytes of payload and headers as JSON text. A row written before they were noted, or around the writer's functions, is estimated
 * from what is stored: at its size, or where that is compressed, at the most that compression can have saved.
 */
export const BYTES_SQL = `coalesce(bytes,
  pg_column_size(payload) * CASE WHEN pg_column_compression(payload) IS NULL THEN 1 ELSE 256 END
  + pg_column_size(headers) * CASE WHEN pg_column_compression(headers) IS NULL THEN 1 ELSE 256 END)`;
