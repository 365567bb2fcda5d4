/** A listener could not be opened: `code` is the system's, such as EADDRINUSE. */
export class ListenError extends Error {
  override readonly name = 'ListenError';

  constructor(
    readonly setting: 'LISTEN_ADDRESS' | 'HTTP_ADDRESS',
    address: string,
    readonly code: string | undefined,
    options: ErrorOptions,
  ) {
    const reason = code === 'EADDRINUSE' ? 'the port is in use' : (code ?? 'it was refused');
    super(`cannot listen on ${address}: ${reason}. Free it, or change ${setting}.`, options);
  }
}

/** Opens a listener, and says by which setting where that fails. */
export async function listening<T>(
  setting: ListenError['setting'],
  address: string,
  open: (address: string) => Promise<T>,
): Promise<T> {
  try {
    return await open(address);
  } catch (error) {
    if (!(error instanceof Error) || error.cause === undefined) throw error;
    throw new ListenError(setting, address, systemCode(error.cause), { cause: error });
  }
}

/** The gRPC library reports only a text, in which the system's own code stands. */
function systemCode(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  if ('code' in cause && typeof cause.code === 'string') return cause.code;
  return /\bE[A-Z]{3,}\b/.exec(cause.message)?.[0];
}
