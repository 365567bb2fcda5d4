export { openSideServer, type SideServer, type SideServerOptions } from './side-server.js';
