/** What scenarios have in common in which somebody asks for a code without a session. */
import type { Metadata } from '@grpc/grpc-js';
import type { AuthServiceClient } from '../../generated/countersign/v1/auth_service.js';
import type { Challenge } from '../../generated/countersign/v1/challenge.js';
import type { ScenarioCall } from '../support/load.js';
import { codesIn } from './message-file.js';
import { connect, type Ended, metadataOf, type Target } from './scenario.js';

export interface FlowData {
  readonly target: Target;
  readonly phones: readonly string[];
  readonly messageFile: string;
}

interface Flow {
  request(
    client: AuthServiceClient,
    phone: string,
    metadata: Metadata,
  ): Promise<Ended<{ readonly challenge?: Challenge | undefined }>>;
  complete(
    client: AuthServiceClient,
    answer: { readonly challengeId: string; readonly code: string },
    metadata: Metadata,
  ): Promise<Ended<unknown>>;
}

export function flowCall({ target, phones, messageFile }: FlowData, flow: Flow): ScenarioCall {
  const client = connect(target);
  const codes = codesIn(messageFile);
  return async (_slot, nth) => {
    const phone = phones[nth - 1];
    if (phone === undefined) throw new Error(`all ${phones.length} people have asked by now`);
    const metadata = metadataOf(target, nth);
    const code = codes.next(phone);
    const requested = await flow.request(client, phone, metadata);
    if (requested.response === undefined) return requested.outcome;
    const challengeId = requested.response.challenge?.challengeId ?? '';
    return (await flow.complete(client, { challengeId, code: await code }, metadata)).outcome;
  };
}
