# Draws the rates of DIRECTORY/rates.dat: gnuplot -c rates.gnuplot DIRECTORY
set terminal svg size 900,720 font "sans,12" background "white"
set output ARG1."/rates.svg"
data = ARG1."/rates.dat"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set logscale y
set yrange [1:3000]
set ytics (1, 10, 100, 1000)
set border 3
set tics nomirror
set lmargin 9
set rmargin 12
set ylabel "claims per second"
set key outside right
set multiplot layout 3,1
do for [block = 0:2] {
	set title word("create grow delete", block + 1)
	plot for [column = 2:5] data index block using column:xtic(1) linecolor rgb word("#1f5fa8 #8fb8de #b8b8b8 #d98032", column - 1) title columnhead(column)
}
