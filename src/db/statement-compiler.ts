import {
  type CompiledQuery,
  PostgresQueryCompiler,
  type QueryId,
  type RootOperationNode,
} from 'kysely';

type Compiled = CompiledQuery<never>;
/** What a template may hold between its texts. */
type Parameter = { readonly kind: string };

interface Template extends Parameter {
  readonly sqlFragments: readonly string[];
  readonly parameters: readonly Parameter[];
}

interface Value extends Parameter {
  readonly value: unknown;
  readonly immediate?: boolean;
}

/** Texts that begin alike, as far as they have been told apart; the text where one ends. */
class Shape {
  readonly next = new Map<unknown, Shape>();
  text: string | undefined;
}

/** A value's place. Values are not part of the text; literals are. */
const PLACE = Symbol('place of a value');

/** The statements of the house are some 60; texts built at run time would be without number. */
const MAX_SHAPES = 10_000;

/**
 * Compiles each statement once. A statement here is a tree of tagged templates, up to eighty of them, and
 * every run builds the same tree about other values. Since a template's texts are one array for each
 * place in the sources, the way through the tree says which text it will be: a walk collects the
 * values, and the text is the one of the first time. It is the same string each time too, so that
 * whoever looks something up by it need not read it.
 */
export class StatementCompiler extends PostgresQueryCompiler {
  readonly #root = new Shape();
  #shapes = 0;

  override compileQuery(node: RootOperationNode, queryId: QueryId): Compiled {
    if (!isTemplate(node)) return super.compileQuery(node, queryId);
    const parameters: unknown[] = [];
    const shape = this.#walk(node, this.#root, parameters);
    if (shape === undefined) return super.compileQuery(node, queryId);
    shape.text ??= super.compileQuery(node, queryId).sql;
    return { query: node, queryId, sql: shape.text, parameters };
  }

  /** Undefined where the tree holds what only the general compiler knows. */
  #walk(template: Template, from: Shape, values: unknown[]): Shape | undefined {
    const { sqlFragments, parameters } = template;
    let at: Shape | undefined = this.#step(from, identityOf(sqlFragments));
    for (const parameter of parameters) {
      if (at === undefined) return undefined;
      if (isTemplate(parameter)) at = this.#walk(parameter, at, values);
      else if (!isValue(parameter)) return undefined;
      else if (parameter.immediate === true) at = this.#step(at, literal(parameter.value));
      else {
        at = this.#step(at, PLACE);
        values.push(parameter.value);
      }
    }
    return at;
  }

  #step(from: Shape, what: unknown): Shape | undefined {
    const known = from.next.get(what);
    if (known !== undefined) return known;
    if (this.#shapes >= MAX_SHAPES) return undefined;
    this.#shapes += 1;
    const made = new Shape();
    from.next.set(what, made);
    return made;
  }
}

/** A template literal's texts are the same array each time; those of a list or of `sql.lit` are new. */
function identityOf(fragments: readonly string[]): unknown {
  return 'raw' in fragments ? fragments : JSON.stringify(fragments);
}

function literal(value: unknown): string {
  return `${typeof value} ${String(value)}`;
}

function isTemplate(node: Parameter): node is Template {
  return node.kind === 'RawNode';
}

function isValue(node: Parameter): node is Value {
  return node.kind === 'ValueNode';
}
