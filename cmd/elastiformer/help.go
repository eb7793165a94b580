package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpTemplate orders a command's help so that it ends with examples and exit status.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}USAGE
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND [flags]{{else}}{{.UseLine}}{{end}}
{{- if .HasAvailableSubCommands}}

COMMANDS{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

FLAGS
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableInheritedFlags}}

GLOBAL FLAGS
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasExample}}

EXAMPLES
{{.Example}}{{end}}
{{- with index .Annotations "` + exitStatusKey + `"}}

EXIT STATUS
{{.}}{{end}}
`

// unconfiguredKey marks, among a command's annotations, one that works without the configuration.
const unconfiguredKey = "unconfigured"

// addHelpAndCompletion lets cobra add its two own commands now instead of when it runs, and gives them what the others have.
func addHelpAndCompletion(root *cobra.Command) {
	root.CompletionOptions.DisableNoDescFlag = true
	root.SetHelpCommand(newHelpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		panic("elastiformer: cobra made no completion command")
	}
	completion.Short = "Print the completion script of a shell"
	completion.RunE = runGroup
	completion.Args = cobra.ArbitraryArgs
	completion.Annotations = exitStatus()
	completion.Annotations[unconfiguredKey] = "yes"
	completion.Example = "  source <(elastiformer completion bash)"
	for _, shell := range completion.Commands() {
		shell.Short = "Print the completion script of " + shell.Name()
		shell.Annotations = exitStatus()
		shell.Example = "  elastiformer completion " + shell.Name()
	}
}

// completeEnums lets the shell complete the words of each flag that takes one of a few.
func completeEnums(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		words, ok := f.Value.(*enum)
		if !ok {
			return
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words.allowed, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic("elastiformer: " + err.Error())
		}
	})
	for _, sub := range cmd.Commands() {
		completeEnums(sub)
	}
}

func newHelpCommand() *cobra.Command {
	annotations := exitStatus()
	annotations[unconfiguredKey] = "yes"
	return &cobra.Command{
		Use:         "help [COMMAND]",
		Short:       "Show the help of a command",
		Example:     "  elastiformer help config show",
		Annotations: annotations,
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageErrorf("unknown command %q (see '%s --help')", strings.Join(args, " "), cmd.Root().Name())
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}
