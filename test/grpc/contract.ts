import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { descriptorsFile } from '../../src/grpc/descriptors.js';

/** The contract as it was compiled: what the tests that walk it walk over. */
export interface Contract {
  readonly files: readonly DescFile[];
  readonly services: readonly DescService[];
  readonly messages: readonly DescMessage[];
  readonly enums: readonly DescEnum[];
}

export function contract(): Contract {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(descriptorsFile));
  const registry = createFileRegistry(set);
  const files = [...registry.files].filter(({ proto }) => proto.package === 'countersign.v1');
  const messages = files.flatMap((file) => file.messages.flatMap(withNested));
  return {
    files,
    services: files.flatMap((file) => file.services),
    messages,
    enums: files.flatMap((file) => [...file.enums, ...file.messages.flatMap((m) => m.nestedEnums)]),
  };
}

/** Every field that a message can hold, however deep, with its path. */
export function fieldsWithin(
  message: DescMessage,
  path = '',
  open: ReadonlySet<string> = new Set(),
): readonly { path: string; field: DescField }[] {
  if (open.has(message.typeName)) return [];
  const deeper = new Set([...open, message.typeName]);
  return message.fields.flatMap((field) => {
    const here = `${path}${field.name}`;
    const inner =
      field.message === undefined ? [] : fieldsWithin(field.message, `${here}.`, deeper);
    return [{ path: here, field }, ...inner];
  });
}

export function methodsOf(service: string): readonly DescMethod[] {
  const found = contract().services.find(({ typeName }) => typeName === service);
  if (found === undefined) throw new Error(`no service ${service}`);
  return found.methods;
}

/** Leading comments by the fully qualified name of what they stand over. */
export function sourceComments(): ReadonlyMap<string, string> {
  const comments = new Map<string, string>();
  for (const file of contract().files) {
    const byPath = new Map(
      (file.proto.sourceCodeInfo?.location ?? []).map((location) => [
        location.path.join('.'),
        location.leadingComments,
      ]),
    );
    for (const [path, name] of pathsOf(file)) comments.set(name, byPath.get(path) ?? '');
  }
  return comments;
}

// Field numbers of descriptor.proto, which source paths are made of.
const MESSAGE = 4;
const ENUM = 5;
const SERVICE = 6;
const FIELD = 2;
const NESTED_MESSAGE = 3;
const NESTED_ENUM = 4;
const VALUE = 2;
const METHOD = 2;

function* pathsOf(file: DescFile): Iterable<readonly [string, string]> {
  for (const [i, message] of file.messages.entries())
    yield* messagePaths(`${MESSAGE}.${i}`, message);
  for (const [i, declared] of file.enums.entries()) yield* enumPaths(`${ENUM}.${i}`, declared);
  for (const [i, service] of file.services.entries()) {
    yield [`${SERVICE}.${i}`, service.typeName];
    for (const [j, method] of service.methods.entries()) {
      yield [`${SERVICE}.${i}.${METHOD}.${j}`, `${service.typeName}.${method.name}`];
    }
  }
}

function* messagePaths(path: string, message: DescMessage): Iterable<readonly [string, string]> {
  yield [path, message.typeName];
  for (const [i, field] of message.fields.entries()) {
    yield [`${path}.${FIELD}.${i}`, `${message.typeName}.${field.name}`];
  }
  for (const [i, nested] of message.nestedMessages.entries()) {
    yield* messagePaths(`${path}.${NESTED_MESSAGE}.${i}`, nested);
  }
  for (const [i, nested] of message.nestedEnums.entries()) {
    yield* enumPaths(`${path}.${NESTED_ENUM}.${i}`, nested);
  }
}

function* enumPaths(path: string, declared: DescEnum): Iterable<readonly [string, string]> {
  yield [path, declared.typeName];
  for (const [i, value] of declared.values.entries()) {
    yield [`${path}.${VALUE}.${i}`, `${declared.typeName}.${value.name}`];
  }
}

function withNested(message: DescMessage): readonly DescMessage[] {
  return [message, ...message.nestedMessages.flatMap(withNested)];
}
