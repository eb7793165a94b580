// Elastiformer turns a pretrained transformer into an elastic one and measures what that costs.
//
// This package is the command line and nothing else: the work is done in the packages under pkg/. Each command lives in
// a file of its own and has the same shape, here for a command "tokenize":
//
//   - newTokenizeCommand(g) declares the command, its help, its exit status and binds its flags;
//   - tokenizeOptions is a plain struct that holds the value of each flag, and addFlags binds them;
//   - runTokenize(ctx, opts, streams) does the work. It sees values, readers and writers, never cobra, viper or os.Args,
//     so that a test calls it like any other function.
//
// A command is added by appending its constructor to the list in newRoot. Everything else follows from the flags it
// declares: each is a key of the configuration file (flag --steps of train is train.steps) and an environment variable
// (ELASTIFORMER_TRAIN_STEPS), is checked by its own Set method whichever way it arrives, and is listed by `config show`.
//
// Results go to standard output, all else to standard error. Errors carry a kind (see errors.go), which decides the exit
// status; whatever cobra refuses before a command starts is a usage error.
package main
