import { SignInRequest } from '../../generated/countersign/v1/auth_service.js';
import { frame, type RawAnswer, sendRaw } from '../support/raw-frames.js';

/** The bytes of an answer that a caller can see, without the moment at which they were sent. */
export type VisibleAnswer = Readonly<Record<string, unknown>>;

/** Signs in and returns everything that came back, undecoded: status, message, details, trailers. */
export async function rawSignIn(
  address: string,
  request: Partial<SignInRequest>,
  headers: Readonly<Record<string, string>> = {},
): Promise<VisibleAnswer> {
  const bytes = Buffer.from(SignInRequest.encode(SignInRequest.fromPartial(request)).finish());
  const answer = await sendRaw({
    address,
    method: 'countersign.v1.AuthService/SignIn',
    chunks: [frame(bytes)],
    // The same for all, so that it need not be left out of what is compared.
    headers: { 'countersign-request-id': 'same', ...headers },
  });
  return visible(answer);
}

export function visible({ headers }: RawAnswer): VisibleAnswer {
  const { date: _, ...rest } = headers;
  return { ...rest };
}
