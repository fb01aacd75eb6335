// Picks a file from C#, through P/Invoke: Pick FILE.imzML [ENGINE [TOP]], with progress; Ctrl-C cancels.
//
//     mcs Pick.cs && LD_LIBRARY_PATH=/opt/ionmorphnet/lib mono Pick.exe section.imzML moran 20
//
// The structures are those of ionmorphnet.h: fields in the same order and of the same size, StructSize first.
using System;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

static class Native
{
    const string Library = "ionmorphnet"; // libionmorphnet.so, ionmorphnet.dll
    public const uint Abi = 1;            // IMN_ABI
    public const int ColumnMz = 0, ColumnScore = 3;

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void Log(IntPtr user, int level, IntPtr text);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate int Progress(IntPtr user, long done, long total);

    [StructLayout(LayoutKind.Sequential)]
    public struct ContextOptions
    {
        public uint StructSize;
        public int LogLevel;
        public IntPtr User;
        public Log Log;
        public IntPtr EngineDir, ModelDir;
        public int Threads;
        public uint Reserved;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ScorerOptions
    {
        public uint StructSize;
        public int Threads;
        public IntPtr Engine, Model, Precision, EngineLibrary, Custom;
        public int NoCascade;
        public uint Reserved;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct PickOptions
    {
        public uint StructSize;
        public int Threads;
        public long Top;
        public IntPtr MinScore;
        public long MemoryLimit, DeviceMemoryLimit;
        public IntPtr Cancel, User;
        public Progress Progress;
    }

    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern uint imn_abi();
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern ulong imn_message(byte[] to, ulong n);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_context_new(ref ContextOptions options, out IntPtr made);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern void imn_context_free(IntPtr context);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_cancel_new(out IntPtr made);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_cancel_set(IntPtr cancel);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern void imn_cancel_free(IntPtr cancel);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_dataset_open(IntPtr context, byte[] imzml, IntPtr options, out IntPtr made);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern void imn_dataset_free(IntPtr dataset);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_scorer_new(IntPtr context, ref ScorerOptions options, out IntPtr made);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern void imn_scorer_free(IntPtr scorer);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_pick(IntPtr dataset, IntPtr scorer, IntPtr axis, ref PickOptions options, out IntPtr made);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_peaks_count(IntPtr peaks, out long candidates, out long picked);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern int imn_peaks_column(IntPtr peaks, int column, [Out] double[] to, long room);
    [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
    public static extern void imn_peaks_free(IntPtr peaks);
}

static class Program
{
    // Delegates that the library holds must be kept from the garbage collector.
    static readonly Native.Log LogLine = (user, level, text) => Console.Error.WriteLine(FromUtf8(text));
    static readonly Native.Progress ShowProgress = (user, done, total) =>
    {
        Console.Error.Write("\r{0} of {1} images", done, total);
        return 0;
    };

    // Marshal.PtrToStringUTF8 of newer frameworks.
    static string FromUtf8(IntPtr text)
    {
        int n = 0;
        while (Marshal.ReadByte(text, n) != 0) ++n;
        byte[] bytes = new byte[n];
        Marshal.Copy(text, bytes, 0, n);
        return Encoding.UTF8.GetString(bytes);
    }

    static byte[] Utf8(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }

    static void Check(int status)
    {
        if (status == 0) return;
        byte[] message = new byte[Native.imn_message(null, 0)];
        Native.imn_message(message, (ulong)message.Length);
        throw new InvalidOperationException(Encoding.UTF8.GetString(message, 0, message.Length - 1));
    }

    static double[] Column(IntPtr peaks, int column, long candidates)
    {
        double[] values = new double[candidates];
        Check(Native.imn_peaks_column(peaks, column, values, candidates));
        return values;
    }

    static void Pick(string path, string engine, long top)
    {
        IntPtr context = IntPtr.Zero, cancel = IntPtr.Zero, dataset = IntPtr.Zero, scorer = IntPtr.Zero, peaks = IntPtr.Zero;
        GCHandle name = GCHandle.Alloc(Utf8(engine), GCHandleType.Pinned);
        try
        {
            var folders = new Native.ContextOptions { Log = LogLine };
            folders.StructSize = (uint)Marshal.SizeOf(folders);
            Check(Native.imn_context_new(ref folders, out context));
            Check(Native.imn_cancel_new(out cancel));
            IntPtr flag = cancel;
            Console.CancelKeyPress += (sender, arguments) =>
            {
                arguments.Cancel = true; // the pick ends with a status
                Native.imn_cancel_set(flag);
            };
            Check(Native.imn_dataset_open(context, Utf8(path), IntPtr.Zero, out dataset));
            var scoring = new Native.ScorerOptions { Engine = name.AddrOfPinnedObject() };
            scoring.StructSize = (uint)Marshal.SizeOf(scoring);
            Check(Native.imn_scorer_new(context, ref scoring, out scorer));
            var options = new Native.PickOptions { Top = top, Cancel = cancel, Progress = ShowProgress };
            options.StructSize = (uint)Marshal.SizeOf(options);
            Check(Native.imn_pick(dataset, scorer, IntPtr.Zero, ref options, out peaks));
            Console.Error.WriteLine();
            long candidates, picked;
            Check(Native.imn_peaks_count(peaks, out candidates, out picked));
            double[] mz = Column(peaks, Native.ColumnMz, candidates), score = Column(peaks, Native.ColumnScore, candidates);
            for (long i = 0; i < picked; ++i)
            {
                Console.WriteLine(string.Format(CultureInfo.InvariantCulture, "{0:G17},{1:G17}", mz[i], score[i]));
            }
        }
        finally
        {
            Native.imn_peaks_free(peaks);
            Native.imn_scorer_free(scorer);
            Native.imn_dataset_free(dataset);
            Native.imn_cancel_free(cancel);
            Native.imn_context_free(context);
            name.Free();
        }
    }

    static int Main(string[] arguments)
    {
        if (arguments.Length < 1)
        {
            Console.Error.WriteLine("usage: Pick FILE.imzML [ENGINE [TOP]]");
            return 2;
        }
        if (Native.imn_abi() != Native.Abi)
        {
            Console.Error.WriteLine("Pick: the library is of another version than this program");
            return 2;
        }
        try
        {
            string engine = arguments.Length > 1 ? arguments[1] : "auto";
            Pick(arguments[0], engine, arguments.Length > 2 ? long.Parse(arguments[2]) : 0);
            return 0;
        }
        catch (InvalidOperationException error)
        {
            Console.Error.WriteLine("Pick: " + error.Message);
            return 1;
        }
    }
}
